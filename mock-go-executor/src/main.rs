//! The command line of the mock executor: `mock-go-executor run --config FILE`, `sub --config FILE`, `send`.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    metanode_core::env::real::refuse_to_run("mock-go-executor")
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    production::main()
}

#[cfg(not(madsim))]
mod production {
    use clap::Parser;
    use metanode_core::{
        env::{
            Network,
            real::{
                OsNetwork,
                metrics::Program,
                process::{self, Exported, RunArguments},
            },
        },
        executor::socket_advice,
        framing::{Decoder, Framing, ReadError, read_frame, write_frame},
        types::{Address, ClientTransaction, Transactions},
    };
    use mock_go_executor::{
        Controls, ExecutorConfig, ExecutorError, run,
        sub::{self, SubConfig, SubError},
    };
    use prost::Message;
    use std::{env, io, process::ExitCode};
    use thiserror::Error;
    use tokio::sync::{mpsc, watch};

    /// A mock of the Go side: a Master that executes blocks, a Sub that forwards transactions
    #[derive(Parser)]
    #[command(name = "mock-go-executor", version)]
    enum Arguments {
        /// Run an executor until Ctrl-C or SIGTERM
        Run(RunArguments),
        /// Run a Sub, which forwards the transactions of clients to a node and follows an executor's state, until Ctrl-C or
        /// SIGTERM
        Sub(RunArguments),
        /// Send transfers in one batch and print the reply
        Send(Transfers),
    }

    /// The transfers of one sender.
    #[derive(clap::Args)]
    struct Transfers {
        /// The transaction socket of a node, or the local socket of a Sub
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// Number of the sender's account
        #[arg(long, default_value_t = 1)]
        sender: u64,
        /// Number of the receiver's account
        #[arg(long, default_value_t = 0)]
        receiver: u64,
        #[arg(long, default_value_t = 1)]
        amount: u64,
        /// Nonce of the first transfer: how many this sender has made before
        #[arg(long, default_value_t = 0)]
        nonce: u64,
        /// Transfers, with consecutive nonces
        #[arg(long, default_value_t = 1)]
        count: u64,
    }

    /// Why the process ended although nobody asked it to.
    #[derive(Debug, Error)]
    enum Failure {
        #[error(transparent)]
        Executor(#[from] ExecutorError),
        #[error(transparent)]
        Sub(#[from] SubError),
        #[error("the operating system refuses what a process needs: {0}")]
        Process(#[from] io::Error),
        #[error("cannot connect to {to}: {}", socket_advice(.source))]
        Connect { to: Address, source: io::Error },
        #[error("no reply: {0}")]
        NoReply(#[from] ReadError),
        #[error("the connection was closed without a reply")]
        Closed,
        #[error("not all transactions were taken")]
        Refused,
    }

    pub fn main() -> ExitCode {
        let ended = match Arguments::parse() {
            Arguments::Run(arguments) => execute(&arguments),
            Arguments::Sub(arguments) => forward(&arguments),
            Arguments::Send(transfers) => send(&transfers),
        };
        process::exit_code("mock-go-executor", ended, |failure| {
            matches!(
                failure,
                Failure::Executor(ExecutorError::Config(_)) | Failure::Sub(SubError::Config(_))
            )
        })
    }

    fn execute(arguments: &RunArguments) -> Result<(), Failure> {
        let config = ExecutorConfig::load(&arguments.config).map_err(ExecutorError::from)?;
        let data_dir = config.data_dir.clone();
        let exported = Exported {
            program: Program::Executor,
            listen_address: config.metrics_listen_address,
        };
        process::run(arguments, exported, &data_dir, async |env, shutdown| {
            let (_controls, running) = watch::channel(Controls::default());
            Ok(run(env, config, running, shutdown).await?)
        })
    }

    fn forward(arguments: &RunArguments) -> Result<(), Failure> {
        let config = SubConfig::load(&arguments.config).map_err(SubError::from)?;
        // Without a state to follow it stores nothing.
        let data_dir =
            (config.follow.as_ref()).map_or_else(env::temp_dir, |it| it.data_dir.clone());
        let exported = Exported {
            program: Program::Sub,
            listen_address: config.metrics_listen_address,
        };
        process::run(arguments, exported, &data_dir, async |env, shutdown| {
            let (_nobody, transactions) = mpsc::channel(1);
            Ok(sub::run(env, config, transactions, shutdown).await?)
        })
    }

    fn send(transfers: &Transfers) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let reply = runtime.block_on(reply_to(transfers))?;
        let reply = String::from_utf8_lossy(&reply);
        println!("{reply}");
        match reply.starts_with(r#"{"success":true"#) {
            true => Ok(()),
            false => Err(Failure::Refused),
        }
    }

    async fn reply_to(transfers: &Transfers) -> Result<bytes::Bytes, Failure> {
        let to = &transfers.to;
        let connected = OsNetwork.connect(to).await;
        let mut stream = connected.map_err(|source| Failure::Connect {
            to: to.clone(),
            source,
        })?;
        let nonces = transfers.nonce..transfers.nonce.saturating_add(transfers.count);
        let encoded = |nonce| transfer(transfers, nonce).encode_to_vec().into();
        let transactions = nonces.map(encoded).collect();
        let frame = Framing::TRANSACTIONS.encode(&Transactions { transactions });
        write_frame(&mut stream, &frame.map_err(ReadError::from)?).await?;
        let mut decoder = Decoder::new(Framing::TRANSACTIONS);
        let reply = read_frame(&mut stream, &mut decoder).await?;
        reply.ok_or(Failure::Closed)
    }

    fn transfer(of: &Transfers, nonce: u64) -> ClientTransaction {
        let account = |number: u64| {
            let mut address = [0; 20];
            address[12..].copy_from_slice(&number.to_be_bytes());
            address.to_vec().into()
        };
        let number = |number: u64| number.to_be_bytes().to_vec().into();
        ClientTransaction {
            from_address: account(of.sender),
            to_address: account(of.receiver),
            amount: number(of.amount),
            nonce: number(nonce),
            ..ClientTransaction::default()
        }
    }
}
