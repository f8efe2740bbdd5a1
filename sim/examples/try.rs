use metanode_sim::{plan::Plan, run::{run, RunOptions}};
fn main() {
    let seeds: u64 = std::env::args().nth(1).map_or(1, |s| s.parse().unwrap());
    let n: u16 = std::env::args().nth(2).map_or(4, |s| s.parse().unwrap());
    for seed in 0..seeds {
        let mut plan = Plan::example();
        plan.seed = seed;
        plan.validators = n;
        plan.executors = vec![plan.executors[0].clone(); n as usize];
        plan.clock_skew_ms = vec![0; n as usize];
        let t = std::time::Instant::now();
        let o = run(plan, &RunOptions { keep_entries: 100_000 });
        println!("seed {seed} {:?} {} events {} sim {} wall {:?} panic {:?}", o.verdict, o.trace_hash, o.events, o.simulated, t.elapsed(), o.panic);
        for v in &o.violations { println!("{:#?}", v); }
        if seeds == 1 { for e in o.entries.iter().take(150) { println!("{} {:>11} {:?}", e.at, e.process.to_string(), e.what); } 
          println!("{:#?} {:#?} {:#?}", o.nodes, o.executors, o.probes); }
    }
}
