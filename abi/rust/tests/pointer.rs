//! The ABI's vectors for JSON Pointers: `find` is right when it passes them all.

use berth::json::{find, unquote, Value};
use berth::Code;

#[test]
fn pointers_find_what_the_abi_says() {
    let cases = Value::parse(include_str!("../../testdata/pointer.json")).unwrap();
    assert!(cases.items().len() > 100);
    for case in cases.items() {
        let text = |name| case.get(name).and_then(Value::as_str).unwrap();
        let got = match find(text("doc"), text("pointer")) {
            Ok(found) => (unquote(found).into_owned(), ""),
            Err(code) => (String::new(), code.name()),
        };
        assert_eq!(
            got,
            (text("want").to_string(), text("code")),
            "{}",
            text("name")
        );
    }
    assert_eq!(find("{}", "a"), Err(Code::Invalid));
}
