package berth;

/** Reports an uncaught exception to the host, as the JVM does. */
final class Crash {
    private Crash() {
    }

    static void report(Throwable thrown) {
        JsonWriter out = new JsonWriter(512);
        String name = thrown.getClass().getName();
        String message = thrown.getMessage();
        out.raw(name == null ? "exception" : name);
        if (message != null) {
            out.raw(": ");
            out.raw(message);
        }
        out.write('\n');
        StackTraceElement[] frames = thrown.getStackTrace();
        int first = 0; // of the handler's own frames
        while (frames != null && first < frames.length && isLibrary(frames[first].getClassName())) {
            first++;
        }
        if (frames != null && first == frames.length) {
            first = 0;
        }
        for (int i = first; frames != null && i < frames.length; i++) {
            String owner = frames[i].getClassName();
            if (owner.startsWith("org.teavm.")) {
                continue; // what called main
            }
            out.raw("\tat ");
            out.raw(owner + "." + frames[i].getMethodName() + "(" + file(owner, frames[i].getFileName()) + ":");
            out.number(frames[i].getLineNumber());
            out.raw(")\n");
        }
        System.err.write(out.bytes(), 0, out.length());
        System.err.flush();
        Host.exit(1);
    }

    private static boolean isLibrary(String owner) {
        return owner.startsWith("java.") || owner.startsWith("berth.") || owner.startsWith("kotlin.") || owner.startsWith("org.teavm.");
    }

    /** The path in the project of a class's file; the frames of the library have the file's name only. */
    private static String file(String owner, String name) {
        if (name == null) {
            return "unknown";
        }
        if (isLibrary(owner) && !owner.startsWith("berth.")) {
            return name;
        }
        int dot = owner.lastIndexOf('.');
        String folder = dot < 0 ? "" : owner.substring(0, dot + 1).replace('.', '/');
        if (name.startsWith(folder)) {
            folder = "";
        }
        String root = owner.startsWith("berth.") ? "berth/src/" : name.endsWith(".kt") ? "src/main/kotlin/" : "src/main/java/";
        return root + folder + name;
    }
}
