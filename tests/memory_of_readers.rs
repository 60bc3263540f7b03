//! Hostile files: how much memory a reader takes is bounded by the size of what it reads, whatever the file claims.
//!
//! Every reader is held to `PER_BYTE` (of CSV, TOML and JSON `PER_BYTE_OF_TEXT`) times the bytes of its files plus `FIXED`. A packed file counts
//! with what it unpacks to, which is at most 1032 times its own size in gzip and zip. `datasets/README.md` says the same to the user.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use peak_alloc::PeakAlloc;
use splitmix_fl::data::{LoadOptions, load_clients, load_directory, load_image};
use splitmix_fl::net::Architecture;
use splitmix_fl::run::checkpoint::import;
use splitmix_fl::run::{Checkpoint, TrainConfig};
use zip::write::{SimpleFileOptions, ZipWriter};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory for each byte of a file.
const PER_BYTE: usize = 16;
/// The same for CSV, TOML and JSON, where a value of one or two characters becomes one of many bytes.
const PER_BYTE_OF_TEXT: usize = 128;
/// Bytes of memory on top: tables of decoders, messages, what the test itself keeps.
const FIXED: usize = 4 << 20;
/// The most that one byte of deflate unpacks to.
const DEFLATE: usize = 1032;

const MIB: usize = 1 << 20;

/// The message of a reader that has to fail, and no more than `most` bytes of memory while it runs.
#[track_caller]
fn refused<T>(most: usize, read: impl FnOnce() -> splitmix_fl::Result<T>) -> String {
    // One at a time: the counter is of the whole process.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = read();
    let taken = MEMORY.peak_usage() - before;
    let message = result.err().expect("a hostile file is refused").to_string();
    println!("{taken} of {most}: {}", message.chars().take(200).collect::<String>());
    assert!(taken <= most, "{taken} bytes of memory where {most} are allowed: {message}");
    assert!(message.chars().count() < 4200, "a message of {} bytes", message.len());
    message
}

/// Reads a folder with one domain of these files, for images of one pixel; its packed files unpack to `factor` times their size at most.
#[track_caller]
fn refused_files(files: &[(&str, &[u8])], factor: usize) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("set")).unwrap();
    let mut size = 0;
    for (name, content) in files {
        fs::write(dir.path().join("set").join(name), content).unwrap();
        size += content.len();
    }
    refused(PER_BYTE * factor * size + FIXED, || load_directory(dir.path(), &[], &LoadOptions::new((1, 1))))
}

fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    parts.iter().for_each(|part| encoder.write_all(part).unwrap());
    encoder.finish().unwrap()
}

fn idx(kind: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = dimensions.iter().flat_map(|n| n.to_be_bytes()).collect();
    [&[0, 0, kind, dimensions.len() as u8][..], &sizes, data].concat()
}

fn idx_files(images: &[u8], factor: usize) -> String {
    let packed = if images.starts_with(&[0x1f, 0x8b]) { ".gz" } else { "" };
    let labels = idx(8, &[1], &[1]);
    let good = idx(8, &[1, 1, 1], &[1]);
    let names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
    refused_files(&[(&format!("{}{packed}", names[0]), images), (names[1], &labels), (names[2], &good), (names[3], &labels)], factor)
}

#[test]
fn idx_counts_and_gzip_bombs() {
    let told = idx_files(&idx(8, &[u32::MAX, 4096, 4096], b"few"), 1);
    assert!(told.contains("promises 4294967295 images of 4096×4096"), "{told}");
    let zeros = vec![0; 32 * MIB];
    idx_files(&gzip(&[&zeros]), DEFLATE);
    let told = idx_files(&gzip(&[&idx(8, &[1, 4096, 4096], b""), &zeros]), DEFLATE);
    assert!(told.contains("promises 1 images of 4096×4096"), "{told}");
    // Three layers of gzip are no data.
    idx_files(&gzip(&[&gzip(&[&gzip(&[&zeros])])]), DEFLATE);
}

#[test]
fn rows_of_text_without_end() {
    let row = b"0 ".repeat(8 * MIB);
    for (name, content, factor) in [("zip.train", row.clone(), 1), ("zip.train.gz", gzip(&[&row]), DEFLATE)] {
        let told = refused_files(&[(name, &content), ("zip.test", b"1\n")], factor);
        assert!(told.contains("line 1: 8388608 values"), "{told}");
    }
    let lines = b"\n".repeat(8 * MIB);
    refused_files(&[("zip.train", &lines), ("zip.test", b"1\n")], 1);
}

#[test]
fn rows_of_libsvm_and_bzip2_bombs() {
    let rows = b"1\n".repeat(2 * MIB);
    let told = refused_files(&[("usps", &rows), ("usps.t", b"1\n")], 8);
    assert!(told.contains("line 100001: it holds more than 100000 images"), "{told}");
    // bzip2 has no ratio that it keeps to: what is unpacked counts, here 32 MiB.
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(&vec![0; 32 * MIB]).unwrap();
    let packed = encoder.finish().unwrap();
    refused_files(&[("usps.bz2", &packed), ("usps.t", b"1\n")], 32 * MIB / packed.len());
}

#[test]
fn matlab_sizes_and_bombs() {
    let file = |variables: &[Vec<u8>]| [&b"MATLAB 5.0 MAT-file"[..], &[b' '; 105], b"\x00\x01IM", &variables.concat()].concat();
    let element = |kind: u32, claimed: usize, data: &[u8]| {
        [&kind.to_le_bytes()[..], &(claimed as u32).to_le_bytes(), data, &vec![0; data.len().next_multiple_of(8) - data.len()]].concat()
    };
    let variable = |name: &[u8], shape: &[u32], claimed: usize, data: &[u8]| {
        let shape: Vec<u8> = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
        let head = [element(6, 8, &[9, 0, 0, 0, 0, 0, 0, 0]), element(5, shape.len(), &shape), element(1, name.len(), name)].concat();
        let body = [head, element(2, claimed, data)].concat();
        element(14, body.len(), &body)
    };
    let both = |content: &[u8], factor| refused_files(&[("train_32x32.mat", content), ("test_32x32.mat", content)], factor);
    both(&file(&[variable(b"X", &[32, 32, 3, u32::MAX], 0xffff_fff0, b"few")]), 1);
    both(&file(&[variable(b"X", &[u32::MAX; 8], 3, b"few")]), 1);
    both(&file(&[element(14, u32::MAX as usize, b"few")]), 1);
    let zeros = variable(b"X", &[32, 32, 3, 8192], 24 * MIB, &vec![0; 24 * MIB]);
    for content in [zlib(&zeros), zlib(&vec![0; 32 * MIB])] {
        both(&file(&[element(15, content.len(), &content)]), DEFLATE);
    }
}

#[test]
fn pickles_of_many_values() {
    // The values of a pickle are limited in number: they may take 256 MiB.
    let batch = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("set/cifar-10-batches-py");
        fs::create_dir_all(&folder).unwrap();
        ["data_batch_1", "test_batch"].iter().for_each(|name| fs::write(folder.join(name), bytes).unwrap());
        refused(PER_BYTE * bytes.len() + (256 << 20), || load_directory(dir.path(), &[], &LoadOptions::new((1, 1))))
    };
    for code in [&b"N"[..], b"]", b"}", b"(", b"N0", b"N\x94", b"I1\n", b"\x8c\0", b"K\x01\x85"] {
        batch(&code.repeat(4 * MIB));
    }
    for code in [b'2', b'h'] {
        batch(&[b"Nq\0", &[code, 0][..usize::from(code == b'h') + 1].repeat(4 * MIB)[..]].concat());
    }
    // Lengths that are only claimed, and a list that is appended to itself.
    for code in
        [&b"T\xff\xff\xff\x7f"[..], b"B\xff\xff\xff\xff", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        batch(code);
    }
    batch(&[b"]q\0", &b"h\0a".repeat(MIB)[..]].concat());
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn npz(arrays: &[(&str, &[&[u8]])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in arrays {
        writer.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        content.iter().for_each(|part| writer.write_all(part).unwrap());
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn numpy_shapes_and_zip_bombs() {
    let zeros = vec![0; 32 * MIB];
    let arrays = |images: &[&[u8]]| {
        let labels = npy("<i8", "(1,)", &[0; 8]);
        npz(&[("train_images", images), ("train_labels", &[&labels]), ("test_images", images), ("test_labels", &[&labels])])
    };
    for shape in ["(99999999999, 4096, 4096, 3)".to_owned(), format!("({0}, {0}, {0})", u64::MAX), "(4294967296, 4294967296)".to_owned()] {
        refused_files(&[("a.npz", &arrays(&[&npy("|u1", &shape, b"few")]))], 1);
    }
    // A header of gigabytes, and one of many thousand dimensions.
    refused_files(&[("a.npz", &arrays(&[b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"]))], 1);
    refused_files(&[("a.npz", &arrays(&[&npy("|u1", &format!("({})", "1,".repeat(30_000)), b"")]))], DEFLATE);
    refused_files(&[("a.npz", &arrays(&[&npy("|u1", "(1, 1, 1)", b""), &zeros]))], DEFLATE);
    // Names of 64 kB and many members.
    let name = "n".repeat(65_000);
    let told = refused_files(&[("a.npz", &npz(&[(&name, &[b"x"])]))], 1);
    assert!(told.contains("train_images"), "{told}");
    let (members, empty): (Vec<String>, [&[u8]; 1]) = ((0..5000).map(|i| i.to_string()).collect(), [b""]);
    refused_files(&[("a.npz", &npz(&members.iter().map(|name| (name.as_str(), &empty[..])).collect::<Vec<_>>()))], 1);
    // A directory that claims 65535 members, and one at the end of the address space.
    let end = |entries: u16, size: u32, at: u32| {
        [b"PK\x05\x06\0\0\0\0", &entries.to_le_bytes()[..], &entries.to_le_bytes(), &size.to_le_bytes(), &at.to_le_bytes(), b"\0\0"]
            .concat()
    };
    for directory in [end(u16::MAX, 0, 0), end(1, u32::MAX, u32::MAX), end(u16::MAX, 22, 0)] {
        refused_files(&[("a.npz", &directory)], 1);
    }
}

#[test]
fn archives_of_cifar() {
    let zeros = vec![0; 32 * MIB];
    let header = |name: &str, kind: u8, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    // A batch, a long name and attributes of 32 MiB, and sizes that are only claimed.
    for kind in *b"0LKxg" {
        refused_files(&[("cifar-10.tar.gz", &gzip(&[&header("data_batch_1.bin", kind, zeros.len() as u64), &zeros]))], DEFLATE);
        for size in [1 << 40, u64::MAX >> 1, u64::MAX] {
            refused_files(&[("cifar-10.tar.gz", &gzip(&[&header("data_batch_1.bin", kind, size), b"few"]))], DEFLATE);
        }
    }
    refused_files(&[("data_batch_1.bin", &zeros), ("test_batch.bin", b"")], 1);
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

fn png(side: u32, depth: u8, colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn refused_picture(bytes: &[u8], factor: usize) -> String {
    refused(PER_BYTE * factor * bytes.len() + FIXED, || load_image(bytes, 1, 1))
}

#[test]
fn headers_of_pictures() {
    let few = chunk(b"IDAT", &zlib(b"few"));
    // 16384×16384 in every kind of PNG. Twelve thousand a side would be within the limit of 512 MiB.
    for (depth, colour) in [(1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (8, 6), (16, 6)] {
        for side in [12_000, 16_384] {
            refused_picture(&png(side, depth, colour, std::slice::from_ref(&few)), 1);
        }
    }
    let palette = chunk(b"PLTE", &[0; 6]);
    refused_picture(&png(12_000, 1, 3, &[palette, few.clone()]), 1);
    // Profiles and texts that unpack to 32 MiB.
    let packed = zlib(&vec![0; 32 * MIB]);
    for (kind, start) in [(b"iCCP", &b"p\0\0"[..]), (b"zTXt", b"t\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0")] {
        refused_picture(&png(12_000, 8, 2, &[chunk(kind, &[start, &packed].concat()), few.clone()]), DEFLATE);
    }
    // A JPEG's frame of 16383×16383: baseline and progressive, grey and colour.
    for frame in [0xc0, 0xc2] {
        for components in [&[1, 0x11, 0][..], &[1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]] {
            let size = [&[8, 0x3f, 0xff, 0x3f, 0xff, components.len() as u8 / 3], components].concat();
            let segment = |marker: u8, data: &[u8]| [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat();
            let scan: Vec<u8> = components.chunks(3).flat_map(|c| [c[0], 0]).collect();
            let scan = [&[components.len() as u8 / 3], &scan[..], &[0, if frame == 0xc0 { 63 } else { 0 }, 0]].concat();
            let tables = [0, 0x10].map(|class| segment(0xc4, &[&[class, 1][..], &[0; 15], &[0]].concat())).concat();
            let file = [&[0xff, 0xd8][..], &segment(0xdb, &[&[0][..], &[1; 64]].concat()), &segment(frame, &size), &tables];
            let file = [&file.concat()[..], &segment(0xda, &scan), &[0; 64], &[0xff, 0xd9]].concat();
            refused_picture(&file, 1);
        }
    }
}

#[test]
fn clients_files() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &[u8]| {
        fs::write(dir.path().join("clients.csv"), text).unwrap();
        refused(PER_BYTE_OF_TEXT * text.len() + FIXED, || load_clients(&dir.path().join("clients.csv"), &LoadOptions::new((1, 1))))
    };
    let long = "x".repeat(4 * MIB);
    load(long.as_bytes());
    load(format!("client,image,class\n1,a.png,{long}\n").as_bytes());
    load(format!("client,image,class\n1,{long},b\n").as_bytes());
    load(format!("client,image,class\n{long},a.png,b\n{long},a.png,b\n").as_bytes());
    load(format!("client,image,class\n\"{long}").as_bytes());
    load(format!("client,image,class,{long}\n1,a.png,b,c\n").as_bytes());
    load(format!("client,image,class,split\n1,a.png,b,{long}\n").as_bytes());
    load(&b",".repeat(4 * MIB));
    load(&[b"client,image,class\n", &b",".repeat(4 * MIB)[..]].concat());
    load(&b"\n".repeat(4 * MIB));
}

#[test]
fn headers_of_checkpoints() {
    let read = |bytes: &[u8]| {
        let most = PER_BYTE_OF_TEXT * bytes.len() + FIXED;
        refused(most, || Checkpoint::from_bytes(bytes, "a.safetensors"));
        refused(most, || import(bytes, "a.safetensors", &[("w".into(), vec![1])], 1));
    };
    let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
    for length in [99_999_999, 1 << 40, u64::MAX] {
        read(&[&length.to_le_bytes()[..], b"{\"a\":"].concat());
    }
    // More values than there are bytes, however they are counted.
    for shape in ["4611686018427387904", "4294967296,4294967296,4294967296", "18446744073709551615"] {
        for offsets in ["0,4", "0,18446744073709551615", "18446744073709551612,4"] {
            read(&file(&format!(r#"{{"w":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{offsets}]}}}}"#), &[0; 4]));
        }
    }
    // A metadata entry, a name and a list of many bytes; many tensors; deep nesting.
    let own = |text: &str| file(&format!(r#"{{"__metadata__":{{"splitmix":"{text}"}}}}"#), &[]);
    read(&own(&"x".repeat(MIB)));
    read(&own(&format!(r#"{{\"format\":2,\"x\":[{}0]}}"#, "0,".repeat(MIB))));
    read(&own(&format!(r#"{{\"format\":2,\"x\":[{}[]]}}"#, "[],".repeat(MIB))));
    read(&own(&"[".repeat(MIB)));
    read(&file(&format!(r#"{{"{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}}}"#, "n".repeat(MIB)), &[]));
    let tensors: Vec<String> = (0..20_000).map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    read(&file(&format!("{{{}}}", tensors.join(",")), &[]));
    read(&file(&"[".repeat(MIB), &[]));
}

#[test]
fn texts_of_configurations_and_networks() {
    let names = ["[".repeat(MIB), format!("rounds = [{}]", "0,".repeat(MIB)), "a".repeat(MIB), format!("{}=1", "a.".repeat(MIB))];
    let values = [format!("out = \"{}", "x".repeat(MIB)), "{a=".repeat(MIB / 4), format!("rounds = {}", "9".repeat(MIB))];
    for text in names.iter().chain(&values) {
        let most = PER_BYTE_OF_TEXT * text.len() + FIXED;
        refused(most, || TrainConfig::from_toml(text, Path::new("run.toml")));
        refused(most, || Architecture::from_toml(text));
    }
    let table = "[[layers]]\n".repeat(MIB / 8);
    refused(PER_BYTE_OF_TEXT * table.len() + FIXED, || Architecture::from_toml(&table));
}
