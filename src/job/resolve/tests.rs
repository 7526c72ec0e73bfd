//! What job files and flags mean together.

use super::*;

fn resolve(text: &str, overrides: JobOverrides) -> Result<Job, String> {
    let definition = JobDefinition::parse(text).expect(text);
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let variable = |name: &str| (name == "KEY").then(|| "0123456789abcdef0123456789abcdef".to_owned());
    Job::resolve(overrides, definition, now, variable).map_err(|error| error.to_string())
}

const COMPLETE: &str =
    "periods = [\"previous\"]\n[source]\nnetworks = [\"12345678\"]\n[output]\nurl = \"out\"\n";

#[test]
fn defaults_are_those_of_the_documentation() {
    let job = resolve(COMPLETE, JobOverrides::default()).unwrap();
    assert_eq!(job.settle_days, 3);
    assert_eq!(job.deadline, Duration::from_mins(55));
    assert_eq!(job.concurrency, 4);
    assert_eq!(job.walk_attempts, 3);
    assert!((job.max_requests_per_second - 10.0).abs() < f64::EPSILON);
    assert!((job.shrink.share - 0.10).abs() < f64::EPSILON);
    assert_eq!(job.shrink.guests, 10);
    assert_eq!(job.formats, Format::ALL);
    assert!(job.csv.formula_guard && !job.csv.bom);
    assert_eq!(job.fresh_for, TimeDelta::zero());
}

#[test]
fn flags_stand_before_the_file() {
    let overrides = JobOverrides {
        networks: vec![Networks::All],
        periods: vec![PeriodSelector::Current],
        output: Some("elsewhere".to_owned()),
        formats: vec![Format::Csv],
        concurrency: Some(1),
        ..JobOverrides::default()
    };
    let job = resolve(COMPLETE, overrides).unwrap();
    assert_eq!(job.networks, Networks::All);
    assert_eq!(job.periods[0].period.to_string(), "2026-11");
    assert_eq!((job.output.as_str(), job.formats, job.concurrency), ("elsewhere", vec![Format::Csv], 1));
}

#[test]
fn what_has_no_default_is_asked_for() {
    let missing = |text: &str| resolve(text, JobOverrides::default()).unwrap_err();
    assert_eq!(missing(""), "the job names no billing period; set --period SELECTOR or periods");
    assert_eq!(
        missing("periods = [\"current\"]"),
        "the job names no network; set --network ID, --network all or source.networks"
    );
    assert_eq!(
        missing("periods = [\"current\"]\nsource.networks = \"all\""),
        "the job names no output; set --output DIR or output.url"
    );
}

#[test]
fn a_period_that_is_wanted_anyway_is_not_conditional() {
    let text = COMPLETE.replace("\"previous\"", "\"missing:2\", \"previous\", \"2026-10\"");
    let job = resolve(&text, JobOverrides::default()).unwrap();
    let shown: Vec<_> = job.periods.iter().map(|it| (it.period.to_string(), it.only_if_missing)).collect();
    assert_eq!(shown, [("2026-09".to_owned(), true), ("2026-10".to_owned(), false)]);
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (setting, expected) in [
        ("settle_days = 61", "settle_days is 61; it must be 0 to 60 days"),
        ("concurrency = 0", "concurrency is 0; it must be 1 to 256 tasks"),
        (
            "max_requests_per_second = 0.0",
            "max_requests_per_second is 0.0; it must be 0.01 to 10000 requests",
        ),
        (
            "max_requests_per_second = nan",
            "max_requests_per_second is NaN; it must be 0.01 to 10000 requests",
        ),
        ("max_shrink = 1.5", "max_shrink is 1.5; it must be a share from 0 to 1"),
        ("walk.attempts = 0", "walk.attempts is 0; it must be 1 to 10"),
        ("request.attempts = 0", "request.attempts is 0; it must be 1 to 100"),
        ("deadline = \"0s\"", "deadline is 0ns; it must be 1s to 7days"),
    ] {
        let error = resolve(&format!("{setting}\n{COMPLETE}"), JobOverrides::default()).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_future_day_is_for_the_simulator_only() {
    let text = format!("as_of = \"2026-12-05T00:00:00Z\"\n{COMPLETE}");
    assert!(resolve(&text, JobOverrides::default()).unwrap_err().starts_with("--as-of 2026-12-05"));
    let simulated = text.replace("[source]\n", "[source]\nkind = \"simulator\"\n");
    let job = resolve(&simulated, JobOverrides::default()).unwrap();
    assert_eq!(job.periods[0].period.to_string(), "2026-11", "previous as of that day");
    let past = text.replace("2026-12-05", "2026-11-05");
    assert!(resolve(&past, JobOverrides::default()).is_ok());
}

#[test]
fn settings_of_the_other_source_are_refused() {
    let simulated =
        COMPLETE.replace("[source]\n", "[source]\nkind = \"simulator\"\nregion = \"us-east-1\"\n");
    let error = resolve(&simulated, JobOverrides::default()).unwrap_err();
    assert!(error.starts_with("--region or source.region has no meaning for a simulator source"), "{error}");
    let error =
        resolve(&format!("{COMPLETE}[simulator]\nguests = 5\n"), JobOverrides::default()).unwrap_err();
    assert!(error.starts_with("[simulator] has no meaning for a wickr source"), "{error}");
}

#[test]
fn all_networks_and_single_ones_exclude_each_other() {
    let overrides = JobOverrides {
        networks: vec![Networks::All, Networks::Listed(vec!["12345678".parse().unwrap()])],
        ..JobOverrides::default()
    };
    assert!(resolve(COMPLETE, overrides).unwrap_err().starts_with("`all` and single networks"));
}

#[test]
fn a_pseudonymous_roster_needs_exactly_one_strong_key() {
    let with = |lines: &str| resolve(&format!("{COMPLETE}{lines}\n"), JobOverrides::default());
    assert!(with("roster = \"pseudonymous\"").unwrap_err().contains("needs a key"));
    let keyed = with("roster = \"pseudonymous\"\npseudonym_key_env = \"KEY\"").unwrap();
    assert!(keyed.roster.key_id().is_some());
    let unset = with("roster = \"pseudonymous\"\npseudonym_key_env = \"OTHER\"").unwrap_err();
    assert!(unset.contains("OTHER is not set"), "{unset}");
    let endless = with("roster = \"pseudonymous\"\npseudonym_key_file = \"/dev/zero\"").unwrap_err();
    assert!(endless.contains("it is longer than the 64 KiB"), "{endless}");
    assert!(with("pseudonym_key_env = \"KEY\"").unwrap_err().contains("only `pseudonymous` uses one"));
}

#[test]
fn a_place_for_rosters_must_be_one_of_its_own_and_have_something_to_hold() {
    let with = |more: &str| resolve(&format!("{COMPLETE}{more}"), JobOverrides::default());
    let job = with("roster_url = \"s3://private/rosters\"\n").unwrap();
    assert_eq!(job.roster_output.as_deref(), Some("s3://private/rosters"));
    let refused = with("roster_url = \"out/\"\n").unwrap_err();
    assert_eq!(
        refused,
        "output.roster_url: it is the output itself; give another folder or bucket, or remove it"
    );
    let refused = with("roster_url = \"rosters\"\nroster = \"none\"\n").unwrap_err();
    assert!(refused.contains("there are no rosters"), "{refused}");
}
