//! What a large roster costs: peak memory and CPU time of one export, by the number of guests.
//!
//! `cargo bench --bench roster_size` exports a million guests, then ten, one run after the other, from a simulator in
//! this process by the release build of the program in another; then four lists of a million at once, each walked
//! twice, which share one budget of memory. Figures of different machines mean little; the ratios in the last lines,
//! measured in one run, and the peak are what the program is held to: it fails where memory passes its bounds.
//! Other sizes: `cargo bench --bench roster_size -- 100000 1000000`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wickr_guest_export::simulator::{Simulator, SimulatorConfig};

const NETWORKS: [&str; 4] = ["12345678", "23456789", "34567890", "45678901"];
const AS_OF: &str = "2025-11-02T09:00:00Z";
/// Closed, and within what the count history covers: one walk is enough.
const COUNTED: &str = "2025-09";
/// Closed, and older than that: two walks have to agree.
const WALKED_TWICE: &str = "2025-08";
/// What the program may hold, whatever it exports.
const MOST_MIB: f64 = 96.0;
/// How much more of it the last size may take than the first.
const MOST_GROWTH: f64 = 1.5;
/// The high-water mark only rises, so what is read last before the end is the peak, but for the last moments.
const BETWEEN_READINGS: Duration = Duration::from_millis(5);

/// What is exported in one run.
struct Load {
    networks: &'static [&'static str],
    month: &'static str,
    /// Of each network.
    guests: u64,
}

struct Figures {
    guests: u64,
    peak_mib: f64,
    cpu: Duration,
    wall: Duration,
}

fn main() {
    // `cargo bench` passes `--bench`.
    let sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes };
    println!("{:>12} {:>12} {:>12} {:>12} {:>16}", "guests", "peak MiB", "CPU s", "wall s", "CPU us a guest");
    let one = |guests: &u64| measure(&Load { networks: &NETWORKS[..1], month: COUNTED, guests: *guests });
    let figures: Vec<Figures> = sizes.iter().map(one).collect();
    let at_once = measure(&Load { networks: &NETWORKS, month: WALKED_TWICE, guests: sizes[0] });
    let (first, last) = (&figures[0], &figures[figures.len() - 1]);
    let growth = last.peak_mib / first.peak_mib;
    println!("the last line is of {} lists at once, each walked twice", NETWORKS.len());
    println!("peak memory of the last size to the first: {growth:.2}");
    println!("CPU a guest of the last size to the first: {:.2}", cpu_a_guest(last) / cpu_a_guest(first));
    let most = figures.iter().chain([&at_once]).map(|figures| figures.peak_mib).fold(0.0, f64::max);
    assert!(most <= MOST_MIB, "peak memory is {most:.1} MiB, and may be {MOST_MIB}");
    assert!(growth <= MOST_GROWTH, "peak memory grows {growth:.2} times, and may {MOST_GROWTH}");
}

#[expect(clippy::cast_precision_loss, reason = "microseconds for people")]
fn cpu_a_guest(figures: &Figures) -> f64 {
    figures.cpu.as_secs_f64() * 1e6 / figures.guests as f64
}

fn measure(load: &Load) -> Figures {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = SimulatorConfig {
        networks: load.networks.iter().map(|id| id.parse().expect("eight digits")).collect(),
        periods: vec![load.month.parse().expect("a month")],
        guests: load.guests,
        guests_vary_percent: 0,
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    };
    let simulator = runtime.block_on(Simulator::start(config)).expect("a simulator");
    let folder = tempfile::tempdir().expect("a folder");
    let keys = simulator.credentials();
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_wickr-guest-export"))
        .args([
            "run",
            "--network",
            &load.networks.join(","),
            "--period",
            load.month,
            "--as-of",
            AS_OF,
            "--quiet",
        ])
        .args(["--max-requests-per-second", "10000"])
        .arg("--output")
        .arg(folder.path().join("out"))
        .env_clear()
        .env("HOME", folder.path())
        .env("AWS_ENDPOINT_URL_WICKR", simulator.endpoint())
        .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
        .env("AWS_REGION", simulator.region())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let (peak_mib, cpu) = watch(child);
    let guests = load.guests * load.networks.len() as u64;
    let figures = Figures { guests, peak_mib, cpu, wall: begun.elapsed() };
    println!(
        "{:>12} {:>12.1} {:>12.1} {:>12.1} {:>16.2}",
        figures.guests,
        figures.peak_mib,
        figures.cpu.as_secs_f64(),
        figures.wall.as_secs_f64(),
        cpu_a_guest(&figures)
    );
    figures
}

/// Waits for the program to end; returns its peak resident set in MiB and its CPU time, from `/proc`.
fn watch(mut child: Child) -> (f64, Duration) {
    let folder = format!("/proc/{}", child.id());
    let mut peak_kib: u32 = 0;
    loop {
        let status = fs::read_to_string(format!("{folder}/status")).expect("the program's status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(kib) = field("VmHWM:").and_then(|value| value.strip_suffix(" kB")?.parse().ok()) {
            peak_kib = kib;
        }
        // It has ended, and its times stand until it is waited for.
        if field("State:").is_some_and(|state| state.starts_with('Z')) {
            break;
        }
        thread::sleep(BETWEEN_READINGS);
    }
    let stat = fs::read_to_string(format!("{folder}/stat")).expect("the program's times");
    let after_name = stat.rsplit_once(") ").expect("a name in parentheses").1;
    let ticks: Vec<u64> =
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse().expect("ticks")).collect();
    let status = child.wait().expect("it ended");
    assert!(status.success(), "the export failed: {status}");
    // The kernel counts in hundredths of a second, whatever its own clock.
    (f64::from(peak_kib) / 1024.0, Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
