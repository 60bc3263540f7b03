//! Fetching from a server that stalls, ends early, damages, redirects, refuses and resumes, all on this machine.

use splitmix_fl::Error;
use splitmix_fl::data::fetch::{Checksum, Origin, Source, SourceFile, fetch, sources};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does with one request.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    /// Gives what is asked for.
    Whole,
    /// Gives everything, whatever is asked for.
    WholeAlways,
    /// Promises the rest, sends so many bytes of it, and closes.
    EndsAfter(usize),
    /// Sends so many bytes and then nothing.
    StallsAfter(usize),
    /// Does not answer at all.
    Silent,
    /// Changes a byte.
    Damaged,
    /// Sends more than there is.
    TooLong,
    /// Gives what is asked for; of a whole file that is here already, says so.
    WholeOrNothing,
    /// Gives another range than the one asked for.
    WrongRange,
    /// Answers so.
    Status(u16),
    /// Sends to `/moved/...`.
    Redirects,
}

struct Server {
    address: String,
    /// First lines of the requests, with the ranges asked for.
    requests: Arc<Mutex<Vec<String>>>,
}

/// A server whose n-th request meets the n-th behaviour, and later ones the last.
fn serve(content: &[u8], behaviours: &[Behaviour]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (log, content, behaviours) = (requests.clone(), content.to_vec(), behaviours.to_vec());
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let behaviour = behaviours[i.min(behaviours.len() - 1)];
            let (log, content) = (log.clone(), content.clone());
            std::thread::spawn(move || answer(stream, &content, behaviour, &log));
        }
    });
    Server { address, requests }
}

fn answer(mut stream: TcpStream, content: &[u8], behaviour: Behaviour, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let mut start = None;
    for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    log.lock().expect("no panic").push(format!("{first} {}", start.map_or("all".into(), |s| s.to_string())));
    let long = Duration::from_secs(20);
    let mut send = |status: &str, headers: &str, length: usize, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
    };
    let range = |s: usize| format!("Content-Range: bytes {s}-{}/{}\r\n", content.len() - 1, content.len());
    let mut give = |body: &[u8], length: usize| match start {
        Some(s) => send("206 Partial Content", &range(s), length, body),
        None => send("200 OK", "", length, body),
    };
    let rest = &content[start.unwrap_or(0).min(content.len())..];
    match behaviour {
        Behaviour::WholeOrNothing if rest.is_empty() => {
            send("416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", content.len()), 0, b"");
        }
        Behaviour::Whole | Behaviour::WholeOrNothing => give(rest, rest.len()),
        Behaviour::WholeAlways => send("200 OK", "", content.len(), content),
        Behaviour::EndsAfter(n) => give(&rest[..n], rest.len()),
        Behaviour::StallsAfter(n) => {
            give(&rest[..n], rest.len());
            std::thread::sleep(long);
        }
        Behaviour::Silent => std::thread::sleep(long),
        Behaviour::Damaged => {
            let mut other = rest.to_vec();
            other[0] ^= 1;
            give(&other, other.len());
        }
        Behaviour::TooLong => give(&[rest, b"more"].concat(), rest.len() + 4),
        Behaviour::WrongRange => send("206 Partial Content", &range(1), content.len() - 1, &content[1..]),
        Behaviour::Status(status) => send(&format!("{status} No"), "", 2, b"no"),
        Behaviour::Redirects => {
            let path = first.split(' ').nth(1).unwrap_or_default();
            send("302 Found", &format!("Location: /moved{path}\r\n"), 0, b"");
        }
    }
}

/// 300 kB that do not repeat.
fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const SHA256: &str = "136f334d647619879743ff33fde1ac6547f40e314692441f2a125e087cad47c9";

const MD5: &str = "14a1802113ce2773fe316b5a05dd3645";

fn source(addresses: Vec<String>) -> Source {
    let file = SourceFile { name: "numbers.bin".into(), bytes: Some(300_000), checksum: Checksum::Sha256(SHA256.into()) };
    Source { name: "numbers".into(), title: "Numbers".into(), licence: "none".into(), addresses, files: vec![file] }
}

fn run(behaviours: &[Behaviour], folder: &Path) -> (Result<Vec<std::path::PathBuf>, Error>, Vec<String>) {
    let server = serve(&content(), behaviours);
    let source = source(vec![format!("{}/sets/", server.address)]);
    let done = fetch(&source, &Origin::Authors, folder, Duration::from_millis(700), &mut |_, _, _| {});
    let requests = server.requests.lock().expect("no panic").clone();
    (done, requests)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_whole_or_not_there_whatever_the_server_does() {
    use Behaviour::*;
    // What the server does, request by request; how often it is asked, and from where on; whether the file comes.
    type Case<'a> = (&'a [Behaviour], &'a [&'a str]);
    let comes: &[Case] = &[
        (&[Whole], &["all"]),
        (&[EndsAfter(100_000), EndsAfter(50_000), Whole], &["all", "100000", "150000"]),
        (&[StallsAfter(65_536), Whole], &["all", "65536"]),
        (&[Silent, Whole], &["all", "all"]),
        (&[Status(503), Whole], &["all", "all"]),
        (&[EndsAfter(9), WholeAlways], &["all", "9"]),
        (&[EndsAfter(9), WrongRange, Whole], &["all", "9", "all"]),
        (&[EndsAfter(9), Status(416), Whole], &["all", "9", "all"]),
        (&[Redirects, Whole], &["all", "all"]),
    ];
    for (behaviours, ranges) in comes {
        let folder = tempfile::tempdir().expect("a folder");
        let (done, requests) = run(behaviours, folder.path());
        let place = folder.path().join("numbers.bin");
        assert_eq!(done.unwrap_or_else(|e| panic!("{ranges:?}: {e}")), std::slice::from_ref(&place));
        assert!(std::fs::read(&place).expect("there") == content());
        assert_eq!(names(folder.path()), ["numbers.bin"]);
        let asked: Vec<&str> = requests.iter().filter_map(|r| r.rsplit(' ').next()).collect();
        assert_eq!(asked, *ranges, "{requests:?}");
        assert!(requests[0].starts_with("GET /sets/numbers.bin "), "{requests:?}");
    }
    // What fails, how it is told, and whether something is kept to go on with.
    let fails: &[(&[Behaviour], i32, &str, u64)] = &[
        (&[Status(404)], 1, "answered 404", 0),
        (&[Status(403)], 1, "answered 403", 0),
        (&[StallsAfter(1000)], 1, "nothing came for 0.7 s", 3000),
        (&[EndsAfter(1000)], 1, "numbers.bin", 3000),
        (&[Silent], 1, "timeout", 0),
        (&[TooLong], 1, "longer than the published one", 0),
        (&[Damaged], 2, "SHA-256", u64::MAX),
        (&[Redirects], 1, "redirect", 0),
    ];
    for (behaviours, code, word, kept) in fails {
        let folder = tempfile::tempdir().expect("a folder");
        let began = Instant::now();
        let error = run(behaviours, folder.path()).0.expect_err("it fails");
        assert_eq!(i32::from(error.exit_code()), *code, "{error}");
        let text = error.to_string();
        assert!(text.contains(word) && text.contains("--url") && text.contains("--from"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(10), "{text}");
        if [0, u64::MAX].contains(kept) {
            assert_eq!(names(folder.path()), Vec::<String>::new(), "{text}");
        } else {
            assert_eq!(names(folder.path()), ["numbers.bin.part"], "{text}");
            assert_eq!(std::fs::metadata(folder.path().join("numbers.bin.part")).expect("kept").len(), *kept, "{text}");
        }
    }
}

#[test]
fn what_was_kept_is_gone_on_with_and_what_is_there_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&[Behaviour::EndsAfter(1000)], folder.path()).0.expect_err("it ended early thrice");
    let (done, requests) = run(&[Behaviour::Whole], folder.path());
    done.expect("the rest came");
    assert!(requests[0].ends_with(" 3000"), "{requests:?}");
    // Nothing is asked for again; another file in its place is not overwritten.
    let (done, requests) = run(&[Behaviour::Status(404)], folder.path());
    assert!(done.is_ok() && requests.is_empty());
    std::fs::write(folder.path().join("numbers.bin"), b"mine").expect("written");
    let told = run(&[Behaviour::Whole], folder.path()).0.expect_err("another file").to_string();
    assert!(told.contains("move it away"), "{told}");
    assert_eq!(std::fs::read(folder.path().join("numbers.bin")).expect("there"), b"mine");
}

#[test]
fn addresses_are_tried_in_turn_and_files_of_this_machine_are_checked() {
    let (nobody, somebody) = (serve(&content(), &[Behaviour::Status(404)]), serve(&content(), &[Behaviour::Whole]));
    let quiet = |_: &str, _: u64, _: Option<u64>| {};
    let wait = Duration::from_secs(2);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let both = source(vec![nobody.address.clone(), somebody.address.clone()]);
    fetch(&both, &Origin::Authors, &at("a"), wait, &mut { quiet }).expect("the second has it");
    let refused = "http://127.0.0.1:9".to_string();
    let told = fetch(&both, &Origin::Mirror(refused), &at("b"), wait, &mut { quiet }).expect_err("nobody is there").to_string();
    assert!(told.contains("127.0.0.1:9") && !told.contains(&somebody.address), "{told}");
    fetch(&source(vec![]), &Origin::Mirror(somebody.address), &at("b"), wait, &mut { quiet }).expect("a mirror");

    fetch(&both, &Origin::Path(at("a")), &at("c"), wait, &mut { quiet }).expect("a folder that has it");
    fetch(&both, &Origin::Path(at("a/numbers.bin")), &at("d"), wait, &mut { quiet }).expect("the file itself");
    std::fs::write(at("other"), b"other").expect("written");
    let told = fetch(&both, &Origin::Path(at("other")), &at("e"), wait, &mut { quiet }).expect_err("another file").to_string();
    assert!(told.contains("SHA-256") && told.contains("stays where it is; name the published file with --from"), "{told}");
    assert_eq!(std::fs::read(at("other")).expect("there"), b"other");
    // Neither an empty file nor a folder for it is left.
    assert!(!at("e").exists());
    std::fs::create_dir(at("e")).expect("made");
    std::fs::write(at("longer"), [content(), vec![0]].concat()).expect("written");
    let told = fetch(&both, &Origin::Path(at("longer")), &at("e"), wait, &mut { quiet }).expect_err("a longer file").to_string();
    assert!(told.contains("longer than the published file") && names(&at("e")).is_empty(), "{told}");
    let told = fetch(&both, &Origin::Path(at("nowhere")), &at("e"), wait, &mut { quiet }).expect_err("no file").to_string();
    assert!(told.contains("nowhere") && names(&at("e")).is_empty(), "{told}");
    for address in ["ftp://example.org/mnist", "example.org/mnist", "file:///data", "http://", "http://a b/", ""] {
        let error = fetch(&both, &Origin::Mirror(address.into()), &at("f"), wait, &mut { quiet }).expect_err("no address");
        let told = format!("--url {address}: it must be the http or https address of a folder that has the files, for example ");
        assert!(error.exit_code() == 2 && error.to_string().starts_with(&told) && !at("f").exists(), "{error}");
    }
    // A folder that cannot be: a file is in its place.
    assert!(matches!(fetch(&both, &Origin::Authors, &at("other"), wait, &mut { quiet }), Err(Error::Io { .. })));
}

#[test]
fn a_file_of_unpublished_length_is_resumed_and_checked_by_its_md5() {
    use Behaviour::*;
    let run = |behaviours: &[Behaviour], folder: &Path, digits: &str| {
        let server = serve(&content(), behaviours);
        // The file's name need not be the address's end.
        let mut source = source(vec![format!("{}/files/{{}}?download=1", server.address)]);
        source.files[0].bytes = None;
        source.files[0].checksum = Checksum::Md5(digits.into());
        let mut last = None;
        let done = fetch(&source, &Origin::Authors, folder, Duration::from_millis(700), &mut |_, here, all| last = Some((here, all)));
        let requests = server.requests.lock().expect("no panic").clone();
        (done, requests, last)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (done, requests, last) = run(&[EndsAfter(100_000), Whole], folder.path(), MD5);
    done.expect("it comes");
    assert_eq!(last, Some((300_000, Some(300_000))));
    assert_eq!(requests, ["GET /files/numbers.bin?download=1 HTTP/1.1 all", "GET /files/numbers.bin?download=1 HTTP/1.1 100000"]);
    // All bytes are here, but not yet in place.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("numbers.bin.part"), content()).expect("written");
    let (done, requests, _) = run(&[WholeOrNothing], folder.path(), MD5);
    done.expect("it is whole");
    assert!(requests.len() == 1 && names(folder.path()) == ["numbers.bin"], "{requests:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let told = run(&[Damaged], folder.path(), MD5).0.expect_err("damaged").to_string();
    assert!(told.contains(&format!("that of the published file is {MD5}")) && told.contains("its MD5 is"), "{told}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn every_source_has_addresses_and_sums() {
    for source in sources() {
        assert!(!source.addresses.is_empty() && !source.files.is_empty(), "{}", source.name);
        for file in &source.files {
            let (digits, length) = match &file.checksum {
                Checksum::Sha256(digits) => (digits, 64),
                Checksum::Md5(digits) => (digits, 32),
            };
            assert!(digits.len() == length && digits.bytes().all(|b| b.is_ascii_hexdigit()) && file.bytes != Some(0), "{}", file.name);
        }
    }
}

#[test]
fn the_command_tells_what_there_is_and_what_to_do() {
    let splitmix = |arguments: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_splitmix")).args(arguments).output().expect("the program starts");
        let text = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, text) = splitmix(&["data", "fetch"]);
    assert!(code == Some(0) && text.contains("cifar10") && text.contains("CC BY-SA 3.0"), "{text}");
    for (option, value) in [("from", "x"), ("url", "http://127.0.0.1:9"), ("to", "x"), ("timeout", "1s")] {
        let (code, text) = splitmix(&["data", "fetch", &format!("--{option}"), value]);
        assert_eq!(code, Some(2));
        let wanted = format!("--{option}: name the data set: splitmix data fetch mnist --{option} {value}");
        assert!(text.contains(&wanted), "{text}");
    }
    let (code, text) = splitmix(&["data", "fetch", "imagenet"]);
    assert!(code == Some(2) && text.contains("choose mnist") && text.contains("datasets/README.md"), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().to_string_lossy().to_string();
    let nobody = ["data", "fetch", "mnist", "--to", &to, "--url", "http://127.0.0.1:9/mnist", "--timeout", "1s"];
    let (code, text) = splitmix(&nobody);
    assert!(code == Some(1) && text.contains("train-images-idx3-ubyte.gz could not be fetched") && !text.contains("panicked"), "{text}");
    // Another file under the published name is told apart from the published one.
    std::fs::write(folder.path().join("cifar-10-binary.tar.gz"), b"not it").expect("written");
    let (code, text) = splitmix(&["data", "fetch", "cifar10", "--to", &to, "--from", &to]);
    assert!(code == Some(2) && text.contains("SHA-256"), "{text}");
}
