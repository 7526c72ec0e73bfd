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
    assert_eq!(job.sources[0].networks, Networks::All);
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
fn a_place_for_rosters_is_named_also_where_none_are_published_any_more() {
    let with = |more: &str| resolve(&format!("{COMPLETE}{more}"), JobOverrides::default());
    let job = with("roster_url = \"s3://private/rosters\"\n").unwrap();
    assert_eq!(job.roster_output.as_deref(), Some("s3://private/rosters"));
    let job = with("roster_url = \"rosters\"\nroster = \"none\"\n").unwrap();
    assert_eq!(job.roster_output.as_deref(), Some("rosters"), "the copies of earlier ones are removed there");
}

const ROLE: &str = "arn:aws:iam::222222222222:role/reader";

/// A job with these `[[source]]` tables.
fn several(tables: &[&str]) -> String {
    let tables = tables.join("\n[[source]]\n");
    format!("periods = [\"previous\"]\n[[source]]\n{tables}\n[output]\nurl = \"out\"\n")
}

/// Each source as number and networks.
fn networks_of(job: &Job) -> Vec<(usize, Networks)> {
    job.sources.iter().map(|source| (source.number, source.networks.clone())).collect()
}

fn listed(ids: &[&str]) -> Networks {
    Networks::Listed(ids.iter().map(|id| id.parse().unwrap()).collect())
}

#[test]
fn a_role_is_that_of_flag_or_file_and_has_a_session_name_that_tells() {
    let role = |text: &str, overrides| {
        resolve(text, overrides).unwrap().sources[0].service.role().cloned().expect("a role")
    };
    let flags = || JobOverrides {
        role_arn: Some(ROLE.parse().unwrap()),
        external_id: Some("of-the-flag".to_owned()),
        ..JobOverrides::default()
    };
    let by_flag = role(COMPLETE, flags());
    assert_eq!(by_flag.session_name.as_str(), "wickr-guest-export");
    let written = COMPLETE.replace(
        "[source]\n",
        "[source]\nrole_arn = \"arn:aws:iam::333333333333:role/other\"\nexternal_id = \"of-the-file\"\n\
         role_session_name = \"close\"\n",
    );
    let by_file = role(&written, JobOverrides::default());
    assert_eq!(by_file.arn.as_str(), "arn:aws:iam::333333333333:role/other");
    let ids = [by_flag, by_file.clone()].map(|role| role.external_id.expect("an id").as_str().to_owned());
    assert_eq!(
        (ids, by_file.session_name.as_str()),
        (["of-the-flag", "of-the-file"].map(str::to_owned), "close")
    );
    assert_eq!(role(&written, flags()).arn.as_str(), ROLE);
}

#[test]
fn what_belongs_to_a_role_is_refused_without_it_and_an_id_that_is_none_is_not_shown() {
    let with = |lines: &str| {
        let text = COMPLETE.replace("[source]\n", &format!("[source]\n{lines}\n"));
        let definition = JobDefinition::parse(&text).expect(&text);
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let error = Job::resolve(JobOverrides::default(), definition, now, |_| None).unwrap_err();
        crate::error_chain::error_chain(&error)
    };
    assert_eq!(
        with("external_id = \"abc\""),
        "--external-id or source.external_id belongs to a role; set --role-arn or source.role_arn, or remove it"
    );
    assert!(with("role_session_name = \"abc\"").starts_with("source.role_session_name belongs to a role"));
    let error = with(&format!("role_arn = \"{ROLE}\"\nexternal_id = \"an id?\""));
    assert!(error.starts_with("--external-id or source.external_id: an external id has 2 to"), "{error}");
    assert!(!error.contains("an id?"), "{error}");
}

#[test]
fn several_sources_keep_their_own_settings_and_order() {
    let job = resolve(
        &several(&[
            "networks = \"all\"\nregion = \"us-east-1\"",
            "networks = [\"22222222\", \"11111111\"]\nprofile = \"b\"\nperiod_spelling = \"underscore\"",
        ]),
        JobOverrides::default(),
    )
    .unwrap();
    assert_eq!(networks_of(&job), [(1, Networks::All), (2, listed(&["11111111", "22222222"]))]);
    assert_eq!(job.sources[1].service.profile(), Some("b"));
    assert_eq!(
        job.sources.iter().map(|source| source.spelling).collect::<Vec<_>>(),
        [crate::period::PeriodSpelling::Hyphen, crate::period::PeriodSpelling::Underscore]
    );
    let one = resolve(
        &several(&["networks = \"all\""]),
        JobOverrides { region: Some("us-west-2".to_owned()), ..JobOverrides::default() },
    );
    assert_eq!(one.unwrap().sources.len(), 1, "flags stand before one source, however it is written");
}

#[test]
fn flags_that_would_make_all_sources_the_same_are_refused() {
    let text = several(&["networks = \"all\"", "networks = [\"22222222\"]"]);
    let some = || Some("x".to_owned());
    let none = JobOverrides::default;
    for (flag, overrides) in [
        ("--region", JobOverrides { region: some(), ..none() }),
        ("--profile", JobOverrides { profile: some(), ..none() }),
        ("--endpoint-url", JobOverrides { endpoint_url: some(), ..none() }),
        ("--role-arn", JobOverrides { role_arn: Some(ROLE.parse().unwrap()), ..none() }),
        ("--external-id", JobOverrides { external_id: some(), ..none() }),
        ("--network all", JobOverrides { networks: vec![Networks::All], ..none() }),
    ] {
        let error = resolve(&text, overrides).unwrap_err();
        let expected = format!("{flag} would make all sources of the job the same; set `");
        assert!(error.starts_with(&expected) && error.contains("in each [[source]]"), "{error}");
    }
}

#[test]
fn networks_that_are_picked_are_looked_for_in_every_source() {
    let picked = |ids: &[&str]| JobOverrides { networks: vec![listed(ids)], ..JobOverrides::default() };
    let lists = several(&["networks = [\"11111111\", \"12345678\"]", "networks = [\"22222222\"]"]);
    let job = resolve(&lists, picked(&["22222222"])).unwrap();
    assert_eq!(networks_of(&job), [(2, listed(&["22222222"]))], "the other source is not asked at all");
    assert_eq!(
        resolve(&lists, picked(&["12345678", "33333333"])).unwrap_err(),
        "--network 33333333 is named by no source of the job; add it to the `networks` of one"
    );
    let whole = several(&["networks = [\"11111111\"]", "networks = \"all\""]);
    let job = resolve(&whole, picked(&["33333333"])).unwrap();
    assert_eq!(networks_of(&job), [(2, Networks::Among(["33333333".parse().unwrap()].into()))]);
    let job = resolve(&whole, picked(&["11111111"])).unwrap();
    assert_eq!(job.sources.len(), 2, "whoever lists all is asked, so that a network of both is found");
}

#[test]
fn sources_that_make_no_sense_together_are_refused() {
    let refused = |tables: &[&str]| resolve(&several(tables), JobOverrides::default()).unwrap_err();
    assert_eq!(
        refused(&["networks = [\"11111111\"]", "networks = [\"22222222\", \"11111111\"]"]),
        "network 11111111 is named by source 1 and by source 2, and only one number of it can be published; name it \
         in one of them"
    );
    assert_eq!(
        refused(&["networks = \"all\"", "region = \"us-east-1\""]),
        "source 2 names no network; set its `networks` to \"all\" or to a list of ids"
    );
    for tables in [
        ["networks = \"all\"", "kind = \"simulator\"\nnetworks = \"all\""],
        ["kind = \"simulator\"\nnetworks = \"all\""; 2],
    ] {
        let error = refused(&tables);
        assert!(error.contains("is the simulator, which is the only source of its job"), "{error}");
    }
    let none = resolve("periods = [\"previous\"]\nsource = []\n", JobOverrides::default()).unwrap_err();
    assert!(none.starts_with("the job names no source; set [source], or [[source]]"), "{none}");
}

#[test]
fn buckets_are_reached_by_the_profile_of_the_sources_or_of_their_own_and_never_by_a_role() {
    let tables = |second: &str| {
        several(&[
            &format!("networks = [\"11111111\"]\nprofile = \"a\"\nrole_arn = \"{ROLE}\""),
            &format!("networks = [\"22222222\"]\nprofile = \"{second}\""),
        ])
    };
    let profile = |text: &str| resolve(text, JobOverrides::default()).map(|job| job.output_profile);
    assert_eq!(profile(&tables("a")), Ok(Some("a".to_owned())));
    assert_eq!(profile(&tables("b")), Ok(None), "a folder needs none");
    let bucket = tables("b").replace("\"out\"", "\"S3://billing/out\"");
    let error = profile(&bucket).unwrap_err();
    assert!(error.ends_with("which one reaches its bucket; set output.profile"), "{error}");
    let picked = JobOverrides { networks: vec![listed(&["22222222"])], ..JobOverrides::default() };
    assert!(
        resolve(&bucket, picked).is_err(),
        "whatever networks are picked, the bucket is reached as always"
    );
    let named = bucket.replace("[output]\n", "[output]\nprofile = \"c\"\n");
    assert_eq!(profile(&named), Ok(Some("c".to_owned())));
    let state = format!("resume.state = \"s3://billing/state\"\n{}", tables("b"));
    assert!(profile(&state).is_err());
}
