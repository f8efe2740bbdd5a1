//! Rules: hold, delay, reset, release.

use super::*;

#[test]
fn a_partition_holds_the_stream_and_loses_nothing() {
    simulate(with_latency(ms(1)..=ms(5)), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let cut = kernel.install(partition(Cut::Both));
        client.write_all(b"one ").await.unwrap();
        client.write_all(b"two").await.unwrap();
        drop(client);
        assert!(is_silent(&mut server).await);
        drop(cut);
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"one two");
    });
}

#[test]
fn a_partition_can_cut_one_direction() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let _cut = kernel.install(partition(Cut::Incoming));
        client.write_all(b"there").await.unwrap();
        assert_eq!(read_some(&mut server).await, b"there");
        server.write_all(b"back").await.unwrap();
        assert!(is_silent(&mut client).await);
    });
}

#[test]
fn a_connection_across_a_partition_waits_until_it_heals() {
    simulate(Settings::default(), async |kernel| {
        let listener = network(&kernel, B).listen(&tcp(B)).await.unwrap();
        let cut = kernel.install(partition(Cut::Incoming));
        let network = network(&kernel, A);
        let address = tcp(B);
        let abandoned = timeout(ms(10_000), network.connect(&address)).await;
        assert!(abandoned.is_err(), "it is held");
        let start = now();
        let heals = async {
            sleep(ms(500)).await;
            drop(cut);
        };
        let (client, server, ()) =
            tokio::join!(network.connect(&address), listener.accept(), heals);
        assert!(client.is_ok() && server.is_ok());
        assert!(now() - start >= ms(500));
        assert_eq!(
            kernel.stats().connections,
            1,
            "an abandoned attempt is not counted"
        );
    });
}

#[test]
fn a_partition_does_not_affect_connections_inside_a_host() {
    simulate(Settings::default(), async |kernel| {
        let everybody = BTreeSet::from([A, B]);
        let _cut = kernel.install(Partition {
            hosts: everybody.clone(),
            others: everybody,
            cut: Cut::Both,
        });
        for address in [unix(), tcp(A)] {
            let (mut client, mut server) = connected(&kernel, A, A, &address).await;
            client.write_all(b"x").await.unwrap();
            assert_eq!(read_some(&mut server).await, b"x");
        }
    });
}

/// Always returns the same verdict, and counts its calls.
struct Always(Verdict, Arc<Mutex<u32>>);

impl Rule for Always {
    fn on_chunk(&mut self, _: &Segment<'_>) -> Verdict {
        *self.1.lock().unwrap() += 1;
        self.0
    }
}

#[test]
fn a_segment_held_by_two_rules_is_released_after_both_and_no_rule_is_called_twice() {
    for first_goes_first in [true, false] {
        simulate(Settings::default(), async |kernel| {
            let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
            let calls: [Arc<Mutex<u32>>; 3] = Default::default();
            let install =
                |verdict, rule: usize| kernel.install(Always(verdict, calls[rule].clone()));
            let _bystander = install(Verdict::Deliver, 0);
            let mut holders = vec![install(Verdict::Hold, 1), install(Verdict::Hold, 2)];
            client.write_all(b"x").await.unwrap();
            drop(holders.remove(usize::from(!first_goes_first)));
            assert!(is_silent(&mut server).await);
            drop(holders);
            assert_eq!(read_some(&mut server).await, b"x");
            let calls = calls.each_ref().map(|count| *count.lock().unwrap());
            assert_eq!(calls, [1, 1, u32::from(first_goes_first)]);
        });
    }
}

#[test]
fn a_latency_spike_delays_until_it_is_over() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let spike = kernel.install(LatencySpike {
            hosts: BTreeSet::from([B]),
            extra: ms(50),
        });
        assert!((ms(50)..ms(50) + SCHEDULING).contains(&transfer(&mut client, &mut server).await));
        drop(spike);
        assert!(transfer(&mut client, &mut server).await < SCHEDULING);
    });
}

#[test]
fn a_rejecting_firewall_resets_connections_and_refuses_new_ones() {
    simulate(with_latency(ms(1)..=ms(5)), async |kernel| {
        let listener = network(&kernel, B).listen(&tcp(B)).await.unwrap();
        let network = network(&kernel, A);
        let address = tcp(B);
        let (client, server) = tokio::join!(network.connect(&address), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let firewall = kernel.install(ResetAll {
            hosts: BTreeSet::from([A]),
        });
        client.write_all(b"x").await.unwrap();
        assert_eq!(read_error(&mut server).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut client).await, ErrorKind::ConnectionReset);
        let error = network.connect(&address).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        drop(firewall);
        network.connect(&address).await.unwrap();
    });
}

#[test]
fn a_chunk_can_be_torn() {
    simulate(Settings::default(), async |kernel| {
        let _rule = kernel.install(TearAt(3));
        let start = now();
        let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
        assert!(now() - start >= ms(3));
        client.write_all(b"ok").await.unwrap();
        client.write_all(b"torn").await.unwrap();
        assert_eq!(read_some(&mut server).await, b"oktor");
        assert_eq!(read_error(&mut server).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut client).await, ErrorKind::ConnectionReset);
    });
}

#[test]
fn short_writes_accept_at_most_the_limit() {
    simulate(Settings::default(), async |kernel| {
        let (mut client, mut server) = connected(&kernel, A, A, &unix()).await;
        let _rule = kernel.install(ShortWrites {
            max_bytes: 5,
            stream: Seed(1).stream("short writes"),
        });
        let mut taken = BTreeSet::new();
        for _ in 0..50 {
            let count = client.write(&[7; 100]).await.unwrap();
            assert_eq!(read_some(&mut server).await, vec![7; count]);
            taken.insert(count);
        }
        assert_eq!(taken, BTreeSet::from([1, 2, 3, 4, 5]));
    });
}

#[test]
fn connections_can_be_reset_from_outside() {
    simulate(Settings::default(), async |kernel| {
        let (mut doomed, mut peer) = connected(&kernel, A, B, &tcp(B)).await;
        let (mut spared, mut other) = connected(&kernel, A, A, &unix()).await;
        doomed.write_all(b"arrived").await.unwrap();
        assert_eq!(kernel.reset_connections(Route::crosses_hosts), 1);
        assert_eq!(read_some(&mut peer).await, b"arrived");
        assert_eq!(read_error(&mut peer).await, ErrorKind::ConnectionReset);
        assert_eq!(read_error(&mut doomed).await, ErrorKind::ConnectionReset);
        spared.write_all(b"x").await.unwrap();
        assert_eq!(read_some(&mut other).await, b"x");
    });
}

#[test]
fn a_hijacked_path_is_restored_and_open_connections_are_not_affected() {
    simulate(Settings::default(), async |kernel| {
        let address = Address::Unix("/run/a.sock".into());
        let path = std::path::Path::new("/run/a.sock");
        let network = network(&kernel, A);
        let listener = network.listen(&address).await.unwrap();
        let (mut client, server) = tokio::join!(network.connect(&address), listener.accept());
        let (client, mut server) = (client.as_mut().unwrap(), server.unwrap());
        for (how, error) in [
            (Hijack::Removed, Some(ErrorKind::NotFound)),
            (Hijack::Refuses, Some(ErrorKind::ConnectionRefused)),
            (Hijack::Silent, None),
        ] {
            let hijacked = kernel.hijack(A, path, how);
            assert!(hijacked.is_some());
            assert!(
                kernel.hijack(A, path, Hijack::Silent).is_none(),
                "it is already hijacked"
            );
            let mut astray = network.connect(&address).await;
            assert_eq!(astray.as_ref().err().map(std::io::Error::kind), error);
            client.write_all(b"on").await.unwrap();
            assert_eq!(read_some(&mut server).await, b"on");
            if let Ok(astray) = &mut astray {
                astray.write_all(b"hello").await.unwrap();
                assert!(is_silent(astray).await);
            }
            drop(hijacked);
            if let Ok(astray) = &mut astray {
                let end = astray.read(&mut [0; 8]).await;
                assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
            let (back, accepted) = tokio::join!(network.connect(&address), listener.accept());
            assert!(back.is_ok() && accepted.is_ok(), "{how:?}");
        }
    });
}

#[test]
fn a_path_that_was_bound_again_keeps_its_new_listener() {
    simulate(Settings::default(), async |kernel| {
        let address = Address::Unix("/run/a.sock".into());
        let path = std::path::Path::new("/run/a.sock");
        let network = network(&kernel, A);
        let old = network.listen(&address).await.unwrap();
        let hijacked = kernel.hijack(A, path, Hijack::Removed);
        let new = network.listen(&address).await.unwrap();
        drop(hijacked);
        let (client, server) = tokio::join!(network.connect(&address), new.accept());
        assert!(client.is_ok() && server.is_ok());
        drop(old);
        assert!(network.connect(&address).await.is_ok());
    });
}

#[test]
fn a_half_closed_connection_ends_in_one_direction_after_what_was_sent() {
    for side in [Side::Client, Side::Server] {
        simulate(with_latency(ms(1)..=ms(5)), async |kernel| {
            let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
            let (closed, other) = match side {
                Side::Client => (&mut client, &mut server),
                Side::Server => (&mut server, &mut client),
            };
            closed.write_all(b"last").await.unwrap();
            assert_eq!(kernel.half_close(side, |_| true), 1);
            let late = closed.write_all(b"late").await;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let mut bytes = Vec::new();
            other.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, b"last");
            other.write_all(b"back").await.unwrap();
            assert_eq!(read_some(closed).await, b"back");
        });
    }
}
