//! `.ci/libclang` finds the libraries that bindgen loads, and no others; tested on temporary folders.

use std::{fs, path::Path, process::Command};

/// The file that the script finds below a root with these files.
fn found(files: &[&str]) -> Option<String> {
    let root = tempfile::tempdir().expect("a folder");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "").expect("written");
    }
    let script =
        Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package"))
            .join("../.ci/libclang");
    let output = Command::new(script).arg(root.path()).output();
    let output = output.expect("the script runs");
    let text = String::from_utf8(output.stdout).expect("a path");
    assert_eq!(output.status.success(), !text.is_empty());
    let file = text.trim().strip_prefix(root.path().to_str()?)?;
    Some(file.trim_start_matches('/').to_owned())
}

#[test]
fn the_cpp_library_is_not_libclang() {
    let cpp = "usr/lib/x86_64-linux-gnu/libclang-cpp.so.14";
    assert_eq!(found(&[cpp]), None);
    assert_eq!(found(&["usr/lib/llvm-14/lib/libclang-cpp.so"]), None);
}

#[test]
fn without_a_shared_library_nothing_is_found() {
    assert_eq!(found(&[]), None);
    assert_eq!(found(&["usr/lib/x86_64-linux-gnu/libclang.a"]), None);
}

#[test]
fn every_file_name_that_bindgen_loads_is_found() {
    let cpp = "usr/lib/x86_64-linux-gnu/libclang-cpp.so.14";
    for file in [
        "usr/lib/x86_64-linux-gnu/libclang-14.so.1",
        "usr/lib/x86_64-linux-gnu/libclang-14.so.14.0.6",
        "usr/lib/x86_64-linux-gnu/libclang.so.1",
        "usr/lib/llvm-14/lib/libclang.so",
        "usr/lib64/libclang.so.16",
        "usr/local/llvm-19/lib/libclang.so",
        "usr/local/lib/libclang-19.so",
    ] {
        assert_eq!(found(&[file]).as_deref(), Some(file));
        assert_eq!(found(&[cpp, file]).as_deref(), Some(file));
    }
}
