//! `metasim`: see [`metasim::cli`].

/// A simulation allocates little and often, on a thread that lives no longer than it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    metasim::cli::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "error: this metasim was built without the simulated world: build it with `--cfg madsim`, \
         as .cargo/config.toml does"
    );
    std::process::ExitCode::from(2)
}
