//! A property of every stream under any rules.

use super::*;
use proptest::prelude::*;

/// A step of the world or of the client of a connection between two hosts.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Partition,
    Spike,
    ShortWrites,
    TearAt(usize),
    Wait(u64),
    /// Uninstalls one of the rules.
    Uninstall(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..300_usize).prop_map(Step::Write),
        1 => Just(Step::Partition),
        1 => Just(Step::Spike),
        1 => Just(Step::ShortWrites),
        1 => (1..400_usize).prop_map(Step::TearAt),
        3 => (1..30_u64).prop_map(Step::Wait),
        3 => any::<usize>().prop_map(Step::Uninstall),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Runs the steps on a connection; returns what the client wrote and what the server read, and whether it read on
/// to the end.
async fn run_steps(kernel: Kernel, steps: Vec<Step>) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
    let writes = async {
        let mut written = Vec::new();
        let mut rules = Vec::new();
        let hosts = BTreeSet::from([A]);
        for step in steps {
            match step {
                Step::Write(count) => {
                    let bytes: Vec<u8> = (written.len()..written.len() + count)
                        .map(|at| (at % 251) as u8)
                        .collect();
                    let write = timeout(ms(100), client.write(&bytes)).await;
                    let taken = write.unwrap_or(Ok(0)).unwrap_or(0);
                    written.extend(&bytes[..taken]);
                }
                Step::Partition => rules.push(kernel.install(partition(Cut::Both))),
                Step::Spike => rules.push(kernel.install(LatencySpike {
                    hosts: hosts.clone(),
                    extra: ms(20),
                })),
                Step::ShortWrites => rules.push(kernel.install(ShortWrites {
                    max_bytes: 9,
                    stream: Seed(1).stream("short writes"),
                })),
                Step::TearAt(length) => rules.push(kernel.install(TearAt(length))),
                Step::Wait(duration_ms) => sleep(ms(duration_ms)).await,
                Step::Uninstall(_) if rules.is_empty() => {}
                Step::Uninstall(index) => drop(rules.remove(index % rules.len())),
            }
        }
        drop(rules);
        drop(client);
        written
    };
    let reads = async {
        let mut read = Vec::new();
        let to_the_end = server.read_to_end(&mut read).await.is_ok();
        (read, to_the_end)
    };
    let (written, (read, to_the_end)) = tokio::join!(writes, reads);
    (written, read, to_the_end)
}

proptest! {
    #[test]
    fn a_stream_is_read_in_order_up_to_its_reset_under_any_rules(steps in steps()) {
        let settings = Settings {
            tcp_buffer_bytes: 1000,
            ..with_latency(ms(0)..=ms(10))
        };
        let tears = steps.iter().any(|step| matches!(step, Step::TearAt(_)));
        let (written, read, to_the_end) =
            simulate(settings, async |kernel| run_steps(kernel, steps).await);
        prop_assert!(written.starts_with(&read));
        prop_assert!(to_the_end || tears);
        prop_assert!(!to_the_end || written.len() == read.len());
    }
}
