#!/usr/bin/env node
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, BuildError } from "../lib/build.mjs";

const USAGE = `usage: berth-js build [DIR | FILE] [-o FILE]

Builds the handler in DIR (default: the working directory) or FILE into a plugin for Berth.
`;

async function main() {
  let args;
  try {
    args = parseArgs({
      allowPositionals: true,
      options: { output: { type: "string", short: "o" }, "no-snapshot": { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new BuildError(error.message + "\n\n" + USAGE);
  }
  const [command, path = ".", ...others] = args.positionals;
  if (args.values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (command !== "build" || others.length > 0) throw new BuildError(USAGE);
  const { name, bytes } = await build(path, { snapshot: !args.values["no-snapshot"] });
  const output = args.values.output ?? join(path.match(/\.[cm]?[jt]s$/) ? "." : path, name + ".wasm");
  writeFileSync(output, bytes);
}

main().catch((error) => {
  process.stderr.write("berth-js: " + (error instanceof BuildError ? error.message : error.stack).trimEnd() + "\n");
  process.exitCode = 1;
});
