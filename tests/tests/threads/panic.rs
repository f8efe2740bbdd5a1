//! A panic of any task ends the process: nothing goes on without the task, or with what it left inconsistent.

use clap::Parser;
use metanode_core::{
    env::real::{
        metrics::Program,
        process::{self, Exported, RunArguments},
    },
    tasks::Tasks,
};
use std::{env, io, os::unix::process::ExitStatusExt, process::Command};

/// Tells this test that it is the process that panics.
const PANICS: &str = "METANODE_TEST_PANICS";
const SIGABRT: i32 = 6;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
}

#[test]
fn a_panic_of_a_task_ends_the_process() {
    if env::var_os(PANICS).is_some() {
        return survives_a_panic();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "panic::a_panic_of_a_task_ends_the_process",
            "--nocapture",
        ])
        .env(PANICS, "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}: {stderr}",
        output.status
    );
    assert!(stderr.contains("a task of the test"), "{stderr}");
}

/// Returns if a process goes on after the panic of one of its tasks.
fn survives_a_panic() {
    let arguments = Arguments::parse_from(["test", "--config", "none"]);
    let exported = Exported {
        program: Program::Node,
        listen_address: None,
    };
    let ran = process::run(
        &arguments.run,
        exported,
        &env::temp_dir(),
        async |env, _| {
            let tasks = Tasks::new(env.monitor);
            let ended = tasks.spawn(async { panic!("a task of the test") }).await;
            assert!(ended.unwrap_err().is_panic());
            Ok::<_, io::Error>(())
        },
    );
    ran.unwrap();
}
