//! Latency and order.

use super::*;

/// When each of ten bytes, sent 1 ms apart, is sent and read.
async fn transfers(kernel: Kernel) -> Vec<(Duration, Duration)> {
    let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
    let sends = async {
        let mut times = Vec::new();
        for number in 0..10 {
            times.push(now());
            client.write_all(&[number]).await.unwrap();
            sleep(ms(1)).await;
        }
        times
    };
    let reads = async {
        let mut times = Vec::new();
        for number in 0..10 {
            assert_eq!(server.read_u8().await.unwrap(), number);
            times.push(now());
        }
        times
    };
    let (sent, read) = tokio::join!(sends, reads);
    sent.into_iter().zip(read).collect()
}

#[test]
fn a_chunk_takes_the_latency_of_its_link_and_overtakes_none() {
    let transfers = simulate(with_latency(ms(5)..=ms(20)), transfers);
    let mut last_read = Duration::ZERO;
    for &(sent, read) in &transfers {
        assert!(read >= sent + ms(5) && read >= last_read);
        assert!(read <= (sent + ms(20)).max(last_read) + SCHEDULING);
        last_read = read;
    }
    let spread = |(sent, read): &(Duration, Duration)| read.abs_diff(*sent).as_millis();
    let taken: BTreeSet<_> = transfers.iter().map(spread).collect();
    assert!(taken.len() > 3, "latencies are drawn: {taken:?}");
}

#[test]
fn one_seed_gives_one_order_and_another_gives_another() {
    let run = |seed| simulate_seed(seed, with_latency(ms(5)..=ms(20)), transfers);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn traffic_on_one_link_does_not_change_another() {
    let settings = with_latency(ms(5)..=ms(20));
    let quiet = simulate(settings.clone(), transfers);
    let noisy = simulate(settings, async |kernel| {
        let (mut noise, _other) = connected(&kernel, A, HostId(3), &tcp(HostId(3))).await;
        noise.write_all(b"noise").await.unwrap();
        transfers(kernel).await
    });
    for ((sent, read), (sent_in_noise, read_in_noise)) in quiet.into_iter().zip(noisy) {
        assert!((read - sent).abs_diff(read_in_noise - sent_in_noise) < SCHEDULING);
    }
}

#[test]
fn links_are_directed_and_may_be_faster_than_a_millisecond() {
    simulate(Settings::default(), async |kernel| {
        let fast = Duration::from_micros(300);
        kernel.set_link(A, B, fast..=fast);
        kernel.set_link(B, A, ms(7)..=ms(7));
        let start = now();
        let (mut client, mut server) = connected(&kernel, A, B, &tcp(B)).await;
        let handshake = now() - start;
        assert!(handshake >= fast + ms(7) && handshake < fast + ms(7) + SCHEDULING);

        let taken = transfer(&mut client, &mut server).await;
        assert!(taken >= fast && taken < fast + SCHEDULING, "{taken:?}");
    });
}

#[test]
fn a_refusal_takes_a_round_trip() {
    simulate(with_latency(ms(5)..=ms(5)), async |kernel| {
        let start = now();
        let error = network(&kernel, A).connect(&tcp(B)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(now() - start >= ms(10) && now() - start < ms(10) + SCHEDULING);
    });
}

#[test]
fn inside_a_host_nothing_takes_time() {
    simulate(with_latency(ms(5)..=ms(5)), async |kernel| {
        let start = now();
        let loopback: Address = "127.0.0.1:9000".parse().unwrap();
        for (host, address) in [(A, unix()), (A, loopback), (B, tcp(B))] {
            let (mut client, mut server) = connected(&kernel, host, host, &address).await;
            transfer(&mut client, &mut server).await;
        }
        assert!(now() - start < SCHEDULING);
    });
}

#[test]
fn port_zero_becomes_a_free_port() {
    simulate(Settings::default(), async |kernel| {
        let network = network(&kernel, A);
        let any: Address = "0.0.0.0:0".parse().unwrap();
        let _first = network.listen(&any).await.unwrap();
        let _second = network.listen(&any).await.unwrap();
        let ports: BTreeSet<_> = kernel.listening(A).into_iter().collect();
        assert_eq!(ports.len(), 2);
        assert!(!ports.contains(&any));
    });
}
