// A transform of the compiler: it keeps functions that can fail out of their callers, so that the stack of a failure
// has the function and the line of each call. The compiler's source maps say nothing about a function that was inlined.

// Functions of the standard library that check an index or a key.
const CHECKED = /^~lib\/(array|arraybuffer|dataview|map|set|staticarray|typedarray)\//;

// Functions of the SDK that handlers do not call, and that do not fail.
const INTERNAL = /(^|\/)assembly\/(abort|base64|bytes|json|object|wire)\//;

export default class KeepCalls {
  afterCompile(module) {
    const binaryen = this.binaryen;
    const functions = [];
    for (let i = 0; i < module.getNumFunctions(); i++) {
      functions.push(binaryen.getFunctionInfo(module.getFunctionByIndex(i)));
    }
    for (const { name, module: imported } of functions) {
      if (imported || !(name.startsWith("~lib/") ? CHECKED.test(name) : !INTERNAL.test(name))) continue;
      binaryen.setPassArgument("no-inline", name.replaceAll("*", "?"));
      module.runPasses(["no-inline"]);
    }
  }
}
