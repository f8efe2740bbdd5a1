//! `metasim`: see [`metasim::cli`].

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    metasim::cli::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "error: this metasim was built without the simulation: build it with `--cfg madsim`, as .cargo/config.toml does"
    );
    std::process::ExitCode::from(2)
}
