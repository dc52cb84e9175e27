// A stdio guest on Rust's standard library: it answers what its functions make
// of WASI preview 1.
use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn kind<T>(r: std::io::Result<T>) -> String {
    match r {
        Ok(_) => "ok".to_string(),
        Err(e) => format!("{:?}", e.kind()),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut out = String::from("{");
    let mut put = |name: &str, value: String| {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&format!("\"{}\":\"{}\"", name, value));
    };
    put("args", args.join("|"));
    put("argc", args.len().to_string());
    put("vars", std::env::vars().count().to_string());
    put("var", std::env::var("HOME").is_err().to_string());

    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    put("slept", (before.elapsed() >= Duration::from_millis(2)).to_string());
    put("time", (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > 1_700_000_000).to_string());
    std::thread::yield_now();

    let mut map = HashMap::new(); // is seeded with random bytes
    map.insert("a", 1);
    put("map", map["a"].to_string());

    put("file", std::fs::read("/etc/passwd").is_err().to_string());
    put("directory", std::fs::read_dir("/").is_err().to_string());
    put("create", std::fs::write("made", "x").is_err().to_string());

    let mut text = Vec::new();
    put("stdin", kind(std::io::stdin().read_to_end(&mut text)));
    put("json", (text.first() == Some(&b'{') && text.last() == Some(&b'}')).to_string());
    put("end", std::io::stdin().read(&mut [0; 8]).unwrap().to_string());
    put("stderr", kind(std::io::stderr().write_vectored(&[std::io::IoSlice::new(b"")])));

    // More pieces than one call takes.
    let space = [std::io::IoSlice::new(b" "); 3000];
    let stdout = std::io::stdout();
    put("many", stdout.lock().write_vectored(&space).map(|n| n > 0).unwrap_or(false).to_string());
    put("flush", kind(std::io::stdout().flush()));
    out.push('}');
    println!("{}", out);
    std::process::exit(0);
}
