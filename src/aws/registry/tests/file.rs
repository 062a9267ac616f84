//! The file: what it refuses, what refuses it, and that memory and file agree.

use std::fs;
use std::io;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::store::Store;
use super::*;

fn open(path: &Path) -> Result<Registry, StoreError> {
    Registry::open(path, Scope::default())
}

#[test]
fn a_file_that_is_open_elsewhere_is_told_from_one_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let first = open(&path).unwrap();
    let held = open(&path).unwrap_err();
    assert!(matches!(held, StoreError::Held { .. }), "{held:?}");
    assert!(held.to_string().contains("r.redb"), "{held}");
    drop(first);
    open(&path).unwrap();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["r.redb"], "nothing else was left");
}

#[test]
fn what_is_no_registry_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    for content in ["", "shopping list: nothing"] {
        fs::write(&path, content).unwrap();
        let foreign = open(&path).unwrap_err();
        assert!(matches!(foreign, StoreError::Foreign { .. }), "{foreign:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let other = folder.path().join("other.redb");
    drop(Database::create(&other).unwrap());
    let foreign = open(&other).unwrap_err();
    assert!(matches!(foreign, StoreError::Foreign { .. }), "{foreign:?}");
    let folder_itself = open(folder.path()).unwrap_err();
    assert!(matches!(folder_itself, StoreError::Io { .. }));
    let nowhere = open(&folder.path().join("none/r.redb")).unwrap_err();
    assert!(
        nowhere.to_string().starts_with("cannot create"),
        "{nowhere}"
    );
}

fn put(path: &Path, table: &str, key: &str, value: &str) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    if table == "roundel_registry" {
        let table = redb::TableDefinition::<&str, &str>::new(table);
        let mut table = transaction.open_table(table).unwrap();
        table.insert(key, value).unwrap();
    } else {
        let table = redb::TableDefinition::<&str, &[u8]>::new(table);
        let mut table = transaction.open_table(table).unwrap();
        table.insert(key, value.as_bytes()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_later_format_and_a_record_that_is_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    drop(open(&path).unwrap());
    put(&path, "things", "car", r#"{"name":"car","wheels":4}"#);
    let damaged = open(&path).unwrap_err().to_string();
    assert!(
        damaged.contains("things `car`: unknown field `wheels`"),
        "{damaged}"
    );
    let policy = r#"{"name":"p","versions":{},"default_version":1,"next_version":2,"created":1,"modified":1,"generation":"i"}"#;
    put(
        &path,
        "things",
        "car",
        r#"{"name":"car","id":"i","version":1}"#,
    );
    put(&path, "policies", "p", policy);
    let damaged = open(&path).unwrap_err().to_string();
    assert!(
        damaged.contains("`p`: it has no default version"),
        "{damaged}"
    );
    put(&path, "roundel_registry", "format", "5");
    let newer = open(&path).unwrap_err();
    assert!(matches!(newer, StoreError::Newer { .. }), "{newer:?}");
    assert!(newer.to_string().contains("has format 5"), "{newer}");
}

#[test]
fn a_shadow_whose_metadata_is_of_another_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    drop(open(&path).unwrap());
    let shadow = r#"{"id":"t","version":1,"state":{"desired":{"a":1}},"metadata":{"desired":{}}}"#;
    put(&path, "shadows", "t", shadow);
    let damaged = open(&path).unwrap_err().to_string();
    assert!(
        damaged.contains("`t`: state and metadata differ"),
        "{damaged}"
    );
}

/// AWS-ID-12: also in a file of format 1, which says nothing of it, and gets format 4 by it.
#[test]
fn policies_hold_after_the_last_one_was_deleted() {
    const ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let format = || {
        let database = Database::open(&path).unwrap();
        let table = redb::TableDefinition::<&str, &str>::new("roundel_registry");
        let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
        let table = transaction.open_table(table).unwrap();
        table.get("format").unwrap().unwrap().value().to_owned()
    };
    let office = Office::open(&path);
    assert!(!office.registry.state().policies_hold());
    office
        .change(|d| d.create_policy("p", ALL, Attributes::new()))
        .unwrap();
    drop(office);
    put(&path, "roundel_registry", "format", "1");
    let office = Office::open(&path);
    let code = office.change(|d| Ok(d.get_registration_code())).unwrap();
    office.change(|d| d.delete_policy("p")).unwrap();
    assert!(office.registry.state().policies_hold());
    drop(office);
    assert_eq!(format(), "4");
    let office = Office::open(&path);
    assert!(office.registry.state().policies_hold());
    let kept = office.change(|d| Ok(d.get_registration_code())).unwrap();
    assert_eq!(kept, code);
}

/// Every member of every record, as formats 1 to 4 write it: what stands here has to stay readable.
#[test]
fn records_of_earlier_formats_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    drop(open(&path).unwrap());
    let records = [
        (
            "things",
            "car",
            r#"{"name":"car","id":"i","thing_type":"t","attributes":{"a":"1"},"version":3,"groups":["g"],"principals":{"c0":"EXCLUSIVE_THING"}}"#,
        ),
        ("things", "bare", r#"{"name":"bare","id":"i","version":1}"#),
        (
            "thing_types",
            "t",
            r#"{"name":"t","id":"i","properties":{"description":"d","searchable_attributes":["a"],"propagating_attributes":[{"user_property_key":"k","thing_attribute":"a"}]},"created":1,"deprecated":2,"tags":{"k":"v"}}"#,
        ),
        (
            "thing_groups",
            "g",
            r#"{"name":"g","id":"i","parent":"root","description":"d","attributes":{"a":"1"},"version":1,"created":1,"policies":["p"],"tags":{"k":"v"}}"#,
        ),
        (
            "certificates",
            "c0",
            r#"{"id":"c0","pem":"PEM","status":"PENDING_ACTIVATION","mode":"SNI_ONLY","ca":"ca0","created":1,"modified":2,"version":1,"generation":"i","not_before":3,"not_after":4,"policies":["p"]}"#,
        ),
        (
            "ca_certificates",
            "ca0",
            r#"{"id":"ca0","pem":"PEM","subject":"CN=CA","is_active":true,"auto_registration":true,"mode":"DEFAULT","registration":{"template_body":"b","role_arn":"r","template_name":"n"},"created":1,"modified":2,"version":1,"generation":"i","not_before":3,"not_after":4,"tags":{"k":"v"}}"#,
        ),
        (
            "policies",
            "p",
            r#"{"name":"p","versions":{"2":{"document":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}","created":1}},"default_version":2,"next_version":3,"created":1,"modified":1,"generation":"i","tags":{"k":"v"}}"#,
        ),
        (
            "account",
            "account",
            r#"{"registration_code":"c","had_policies":true,"events":{"enabled":["THING","CA_CERTIFICATE"],"created":1,"modified":2},"default_authorizer":"a"}"#,
        ),
        (
            "authorizers",
            "a",
            r#"{"name":"a","function_arn":"arn","token_key_name":"k","token_signing_public_keys":{"one":"PEM"},"is_active":true,"signing_disabled":true,"caching_for_http":true,"created":1,"modified":2,"tags":{"k":"v"}}"#,
        ),
        (
            "shadows",
            "car/lights",
            r#"{"id":"car/lights","version":7,"state":{"desired":{"a":[1,{"b":"x"}],"c":{}},"reported":{"d":true}},"metadata":{"desired":{"a":[{"timestamp":1},{"b":{"timestamp":2}}],"c":{}},"reported":{"d":{"timestamp":3}}}}"#,
        ),
        (
            "shadows",
            "gone",
            r#"{"id":"gone","version":2,"deleted":1790000000000}"#,
        ),
    ];
    for (table, key, value) in records {
        put(&path, table, key, value);
    }
    let state = open(&path).unwrap().state();
    let written = |record: &dyn Fn() -> serde_json::Result<String>| record().unwrap();
    let found = [
        written(&|| serde_json::to_string(&state.things["car"])),
        written(&|| serde_json::to_string(&state.things["bare"])),
        written(&|| serde_json::to_string(&state.types["t"])),
        written(&|| serde_json::to_string(&state.groups["g"])),
        written(&|| serde_json::to_string(&state.certificates["c0"])),
        written(&|| serde_json::to_string(&state.authorities["ca0"])),
        written(&|| serde_json::to_string(&state.policies["p"])),
        written(&|| serde_json::to_string(&state.accounts["account"])),
        written(&|| serde_json::to_string(&state.authorizers["a"])),
        written(&|| serde_json::to_string(&state.shadows["car/lights"])),
        written(&|| serde_json::to_string(&state.shadows["gone"])),
    ];
    assert_eq!(found, records.map(|(_, _, value)| value));
    let things = behind_names(&state);
    assert_eq!(things, (vec!["car"], vec!["car"], vec!["car"]));
}

/// The things of the type, the group and the certificate, by the indexes.
fn behind_names(state: &State) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let names = |pairs, of| {
        let names = state::behind(pairs, of, None);
        names.map(String::as_str).collect::<Vec<_>>()
    };
    (
        names(&state.of_type, "t"),
        names(&state.members, "g"),
        names(&state.attached, "c0"),
    )
}

/// A disk that can be full, or that says so after it has written.
#[derive(Debug, Default)]
struct Disk {
    bytes: InMemoryBackend,
    /// What it answers to every write.
    refusal: Mutex<Option<io::ErrorKind>>,
    /// The sync that fails, counted from now; none at 0.
    failing_sync: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Disk>);

impl Shared {
    fn refuse(&self, refusal: Option<io::ErrorKind>) {
        *self.0.refusal.lock() = refusal;
    }

    fn room(&self) -> Result<(), io::Error> {
        match *self.0.refusal.lock() {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl StorageBackend for Shared {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.room()?;
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.room()?;
        let left = &self.0.failing_sync;
        match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
            Ok(1) => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => self.0.bytes.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.room()?;
        self.0.bytes.write(offset, data)
    }
}

fn office_on(disk: &Shared) -> Office {
    let backend = disk.clone();
    let opener = move || -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(backend.clone())
    };
    store::initialise(&opener().unwrap()).unwrap();
    let store = Store::with_opener(Path::new("disk"), Box::new(opener)).unwrap();
    Office::new(Registry::with_store(store, Scope::default()).unwrap())
}

/// What somebody finds who opens the file.
fn on_disk(disk: &Shared) -> State {
    let backend = Shared(Arc::new(Disk::default()));
    let mut bytes = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
    disk.read(0, &mut bytes).unwrap();
    backend.set_len(bytes.len() as u64).unwrap();
    backend.write(0, &bytes).unwrap();
    let opener = Box::new(move || Database::builder().create_with_backend(backend.clone()));
    let store = Store::with_opener(Path::new("copy"), opener).unwrap();
    store.load(Scope::default()).unwrap()
}

#[test]
fn while_the_disk_refuses_changes_fail_and_the_next_one_works() {
    for (kind, said) in [
        (io::ErrorKind::StorageFull, "no storage space"),
        (io::ErrorKind::ReadOnlyFilesystem, "read-only filesystem"),
    ] {
        let disk = Shared::default();
        let office = office_on(&disk);
        office.thing("before");
        disk.refuse(Some(kind));
        for _ in 0..2 {
            let failed = office.change(|d| d.create_thing("during", NewThing::default()));
            let error = failed.unwrap_err();
            assert_eq!(error.name(), "InternalFailureException");
            let Error::InternalFailure(reason) = error else {
                panic!("{error:?}");
            };
            let StoreError::Io { source, .. } = &*reason else {
                panic!("{reason:?}");
            };
            assert!(source.to_string().contains(said), "{source}");
            let state = office.registry.state();
            assert_eq!(state.things.keys().collect::<Vec<_>>(), ["before"]);
        }
        disk.refuse(None);
        office.thing("after");
        let state = office.registry.state();
        assert_eq!(state.things.keys().collect::<Vec<_>>(), ["after", "before"]);
        assert_eq!(on_disk(&disk), *state);
    }
}

/// Whichever sync of a commit fails, memory says what the file says afterwards.
#[test]
fn a_commit_that_fails_late_has_happened_in_both_or_in_neither() {
    let mut happened = [false; 2];
    for failing in 1..=4 {
        let disk = Shared::default();
        let office = office_on(&disk);
        office.thing("before");
        disk.0.failing_sync.store(failing, Ordering::Relaxed);
        let result = office.change(|d| d.create_thing("during", NewThing::default()));
        disk.0.failing_sync.store(0, Ordering::Relaxed);
        office.thing("after");
        let state = office.registry.state();
        let is_there = state.things.contains_key("during");
        assert!(is_there || result.is_err(), "what was answered is there");
        assert!(state.things.contains_key("after"));
        assert_eq!(on_disk(&disk), *state, "sync {failing}");
        happened[usize::from(result.is_err())] = true;
    }
    assert_eq!(
        happened, [true; 2],
        "one sync failed, and not every one was needed"
    );
}

/// What others changed while a commit failed fails too, and nothing that was answered is lost.
#[test]
fn threads_on_a_disk_that_refuses_now_and_then_lose_nothing_that_was_answered() {
    let disk = Shared::default();
    let office = office_on(&disk);
    let (registry, answered) = (&office.registry, Mutex::new(Vec::new()));
    let running = AtomicU64::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4u128 {
            let (answered, running) = (&answered, &running);
            scope.spawn(move || {
                for number in 0..200u128 {
                    let name = format!("t{thread}-{number}");
                    let means = Means {
                        now: NOW,
                        random: &mut || (thread << 64) | number,
                    };
                    let created =
                        registry.change(means, |d| d.create_thing(&name, NewThing::default()));
                    if created.is_ok() {
                        answered.lock().push(name);
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while running.load(Ordering::Relaxed) > 0 {
            disk.refuse(Some(io::ErrorKind::StorageFull));
            std::thread::yield_now();
            disk.refuse(None);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    office.thing("after");
    let state = office.registry.state();
    let answered = answered.into_inner();
    assert!(!answered.is_empty());
    for name in answered {
        assert!(state.things.contains_key(&name), "{name}");
    }
    assert_eq!(on_disk(&disk), *state);
}

#[test]
fn threads_share_commits_and_each_gets_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let registry = open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u128 {
            let registry = &registry;
            scope.spawn(move || {
                for number in 0..20u128 {
                    let name = format!("t{thread}-{number}");
                    let means = Means {
                        now: NOW,
                        random: &mut || (thread << 64) | number,
                    };
                    registry
                        .change(means, |d| d.create_thing(&name, NewThing::default()))
                        .unwrap();
                    assert!(registry.state().describe_thing(&name).is_ok());
                }
            });
        }
    });
    let state = registry.state();
    assert_eq!(state.things.size(), 160);
    drop(registry);
    assert_eq!(*open(&path).unwrap().state(), *state);
}

/// AWS-SHADOW-12: requests whose commit fails are all refused with 500, and have not happened; the next ones
/// work. Requests for which there is no memory are refused with 429.
#[test]
fn requests_to_shadows_are_refused_while_the_disk_or_the_memory_is_full() {
    use crate::aws::shadow::desk::Desk;
    use crate::aws::shadow::room::Room;
    use crate::broker::doubles::NoAlarm;
    use crate::broker::requests::Service as _;
    use crate::broker::{Broker, Randomness};
    use crate::budget::{Charge, Kind};
    use crate::codec::QoS;
    use crate::config::Config;
    use crate::message::publication::Publication;
    use crate::time::Clock;

    let disk = Shared::default();
    let registry = Arc::new(office_on(&disk).registry);
    let told = Arc::<Mutex<Vec<String>>>::default();
    let tell = told.clone();
    registry.on_change(move |changed| {
        for change in changed {
            let Changed::Event { topic, payload } = change else {
                continue;
            };
            let said: serde_json::Value = serde_json::from_slice(payload).unwrap();
            let topic = topic.strip_prefix("$aws/things/t/shadow/").unwrap();
            tell.lock()
                .push(format!("{topic} {} {}", said["code"], said["clientToken"]));
        }
    });
    let clock = Clock::default();
    let now = clock.now();
    let alarm = Arc::new(NoAlarm);
    let broker = Broker::new(Config::standard(), Randomness::from_seed(1), now.now, alarm);
    let context = broker.context(now);
    let room = Room::new(broker.config(), broker.budget());
    let desk = Desk::new(registry.clone(), clock.calendar(), || 0, room);
    let take = |deed: &str| {
        let topic = format!("$aws/things/t/shadow/{deed}");
        let payload = br#"{"state":{},"clientToken":"x"}"#;
        let message = Publication::new(&topic, payload, QoS::AtMostOnce);
        assert!(desk.take(&message, None, &context), "{deed}");
    };
    let elsewhere = Publication::new("$aws/things/t/shadow/foo", b"", QoS::AtMostOnce);
    assert!(!desk.take(&elsewhere, None, &context));
    disk.refuse(Some(io::ErrorKind::StorageFull));
    for deed in ["update", "get", "delete"] {
        take(deed);
    }
    desk.serve();
    let refused = ["update", "get", "delete"].map(|deed| format!("{deed}/rejected 500 \"x\""));
    assert_eq!(std::mem::take(&mut *told.lock()), refused);
    assert!(registry.state().shadows.is_empty());
    disk.refuse(None);
    let half = Charge::forced(broker.budget(), Kind::Packets, usize::MAX >> 9);
    take("update");
    drop(half);
    take("update");
    desk.serve();
    assert_eq!(
        *told.lock(),
        [
            "update/rejected 429 null",
            "update/accepted null \"x\"",
            "update/documents null \"x\""
        ]
    );
    assert_eq!(broker.budget().used_by(Kind::Packets), 0);
    assert_eq!(*on_disk(&disk).shadows["t"], *registry.state().shadows["t"]);
}
