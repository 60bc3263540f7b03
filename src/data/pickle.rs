//! Pickles of plain data: dictionaries, lists, text, numbers and NumPy arrays, as CIFAR's Python version holds them. Nothing is executed:
//! a pickle is a program for a small machine that can call anything, and here every instruction and every call beyond these data is
//! refused by name. (The crate for pickles has no NumPy arrays.)
//!
//! Memory stays below 32 times the pickle's size and 256 MiB: each instruction makes at most one value, of at most [`MOST`] in all, values
//! refer to each other and to the file by their place, and text that is turned into bytes is counted.

use std::borrow::Cow;
use std::collections::HashMap;

use super::array::Array;
use super::read::bad;
use crate::Result;

/// Most values, and most kept numbers, of a pickle; CIFAR-100's training batch has 150 000.
const MOST: usize = 1 << 20;

/// One value; others are referred to by their index in [`Pickle::values`].
enum Value<'a> {
    None,
    Int(i64),
    Float,
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    /// A list or a tuple.
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Global(Global),
    /// A NumPy element type, as in `u1`; its byte order comes later.
    Type(String),
    /// An array: element type, shape, order, data. Empty until it is filled.
    Array(Option<Filled>),
}

struct Filled {
    descr: String,
    shape: Vec<usize>,
    fortran: bool,
    data: usize,
}

/// What may be called, because it makes plain data.
#[derive(Clone, Copy)]
enum Global {
    /// `numpy.core.multiarray._reconstruct`: an empty array.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`: a whole one, in protocol 5.
    FromBuffer,
    /// `numpy.core.multiarray.scalar`: a number.
    Scalar,
    /// `numpy.ndarray`, only named.
    NdArray,
    /// `numpy.dtype`.
    Type,
    /// `_codecs.encode`: bytes, written as text by Python 3 in protocols below 3.
    Encode,
    /// `bytes` or `bytearray`, of nothing.
    EmptyBytes,
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        // NumPy 2 has a core of another name.
        match (module.replace("numpy._core", "numpy.core").as_str(), name) {
            ("numpy.core.multiarray", "_reconstruct") => Some(Global::Reconstruct),
            ("numpy.core.numeric", "_frombuffer") => Some(Global::FromBuffer),
            ("numpy.core.multiarray", "scalar") => Some(Global::Scalar),
            ("numpy", "ndarray") => Some(Global::NdArray),
            ("numpy", "dtype") => Some(Global::Type),
            ("_codecs", "encode") => Some(Global::Encode),
            ("__builtin__" | "builtins", "bytes" | "bytearray") => Some(Global::EmptyBytes),
            _ => None,
        }
    }
}

/// A pickle that was read; its top is a dictionary.
pub(super) struct Pickle<'a> {
    file: &'a str,
    values: Vec<Value<'a>>,
    top: usize,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle of protocol 0 to 5.
    ///
    /// # Errors
    /// [`crate::Error::Data`] naming the byte: for a truncated or damaged pickle, and for any instruction or call that is not plain data.
    pub fn parse(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let mut machine = Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), made: 0 };
        let top = machine.run().map_err(|what| bad(file, format_args!("byte {}: {what}", machine.at)))?;
        if !matches!(machine.values[top], Value::Dict(_)) {
            return Err(bad(file, "the pickle holds no dictionary; this is not a CIFAR batch"));
        }
        Ok(Self { file, values: machine.values, top })
    }

    /// The value under a key (text or bytes) of the dictionary.
    fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dict(pairs) = &self.values[self.top] else { return None };
        // Compared as they are: many keys may be one long text.
        let is = |at: usize| match &self.values[at] {
            Value::Text(text) => text == key,
            Value::Bytes(bytes) => bytes[..] == *key.as_bytes(),
            _ => false,
        };
        pairs.iter().rev().find(|(k, _)| is(*k)).map(|(_, v)| &self.values[*v])
    }

    fn text(&self, at: usize) -> Option<Cow<'_, str>> {
        match &self.values[at] {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// The keys of the dictionary, for messages.
    pub fn keys(&self) -> String {
        let Value::Dict(pairs) = &self.values[self.top] else { return String::new() };
        let keys: Vec<_> = pairs.iter().take(8).filter_map(|(k, _)| Some(self.text(*k)?.chars().take(40).collect::<String>())).collect();
        if keys.is_empty() { "none".into() } else { keys.join(", ") }
    }

    /// Whether the dictionary has the key.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The array under a key.
    ///
    /// # Errors
    /// [`crate::Error::Data`] where there is none.
    pub fn array(&self, key: &str) -> Result<Array<'_>> {
        let wrong = |what: &str| bad(self.file, format_args!("key {key}: {what}"));
        let Some(Value::Array(Some(filled))) = self.get(key) else {
            return Err(wrong(&format!("no NumPy array (keys: {}); this is not a CIFAR batch", self.keys())));
        };
        let Value::Bytes(data) = &self.values[filled.data] else { return Err(wrong("the array's data are no bytes")) };
        Array::new(&filled.descr, filled.shape.clone(), filled.fortran, &data[..]).map_err(|what| wrong(&what))
    }

    /// The whole numbers of the list or array under a key, each 0 to 255.
    ///
    /// # Errors
    /// [`crate::Error::Data`] where there is none, or another number in it.
    pub fn labels(&self, key: &str) -> Result<Vec<u8>> {
        let Some(Value::List(items)) = self.get(key) else { return self.array(key)?.labels(&format!("{}, key {key}", self.file)) };
        let label = |(i, at): (usize, &usize)| match self.values[*at] {
            Value::Int(label @ 0..=255) => Ok(label as u8),
            Value::Int(label) => Err(bad(self.file, format_args!("key {key}, row {i}: label {label} is not among 0 to 255"))),
            _ => Err(bad(self.file, format_args!("key {key}, row {i}: the label is no whole number"))),
        };
        items.iter().enumerate().map(label).collect()
    }

    /// The texts of the list under a key, if it is one.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let Some(Value::List(items)) = self.get(key) else { return None };
        items.iter().map(|at| Some(self.text(*at)?.into_owned())).collect()
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    /// Heights of the stack at which marks lie.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
    /// Bytes made from text so far.
    made: usize,
}

type Said<T> = std::result::Result<T, String>;

const ENDS: &str = "the pickle ends too early; fetch it again";
const EMPTY: &str = "the pickle is damaged: an instruction lacks its values; fetch it again";

impl<'a> Machine<'a> {
    fn take(&mut self, len: u64) -> Said<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or(ENDS)?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number of so many bytes, up to eight.
    fn number(&mut self, len: u64) -> Said<u64> {
        Ok(self.take(len)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The rest of the line.
    fn line(&mut self) -> Said<&'a [u8]> {
        let len = self.bytes[self.at..].iter().position(|&b| b == b'\n').ok_or(ENDS)?;
        let line = self.take(len as u64)?;
        self.at += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn ascii(&mut self) -> Said<&'a str> {
        std::str::from_utf8(self.line()?).map_err(|_| "a line is not text; fetch the file again".to_owned())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Said<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor { Err(EMPTY.into()) } else { self.stack.pop().ok_or_else(|| EMPTY.into()) }
    }

    fn top(&self) -> Said<usize> {
        self.stack.last().copied().ok_or_else(|| EMPTY.into())
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Said<Vec<usize>> {
        let mark = self.marks.pop().ok_or(EMPTY)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn several(&mut self, count: usize) -> Said<Vec<usize>> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Said<Vec<_>>>()?;
        items.reverse();
        Ok(items)
    }

    fn text(&mut self, len: u64) -> Said<()> {
        let text = String::from_utf8_lossy(self.take(len)?);
        self.push(Value::Text(text));
        Ok(())
    }

    fn bytes(&mut self, len: u64) -> Said<()> {
        let bytes = self.take(len)?;
        self.push(Value::Bytes(Cow::Borrowed(bytes)));
        Ok(())
    }

    fn run(&mut self) -> Said<usize> {
        loop {
            let start = self.at;
            let code = self.take(1)?[0];
            if self.values.len().max(self.memo.len()) > MOST {
                return Err(format!("the pickle has more than {MOST} values; save fewer images in one batch"));
            }
            match code {
                b'.' => return self.pop(),
                0x80 => match self.number(1)? {
                    0..=5 => {}
                    protocol => return Err(format!("pickle protocol {protocol} is not known; save it with protocol 2")),
                },
                // A frame only says how many bytes belong together.
                0x95 => drop(self.number(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(self.top()?),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Int(1)),
                0x89 => self.push(Value::Int(0)),
                b'J' => {
                    let number = self.number(4)? as u32 as i32;
                    self.push(Value::Int(number.into()));
                }
                b'K' | b'M' => {
                    let number = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.push(Value::Int(number as i64));
                }
                b'I' | b'L' => {
                    let digits = self.ascii()?.trim_end_matches('L');
                    let number = digits.parse().map_err(|_| format!("{digits:?} is no whole number of 64 bits"))?;
                    self.push(Value::Int(number));
                }
                0x8a => {
                    let len = self.number(1)?;
                    let bytes = self.take(len)?;
                    if len > 8 {
                        return Err("a whole number has more than 64 bits".into());
                    }
                    let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
                    let start = if sign { -1 } else { 0 };
                    self.push(Value::Int(bytes.iter().rev().fold(start, |value, &byte| value << 8 | i64::from(byte))));
                }
                b'F' => {
                    self.line()?;
                    self.push(Value::Float);
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Float);
                }
                b'S' => {
                    let bytes = unquoted(self.line()?)?;
                    self.push(Value::Bytes(bytes.into()));
                }
                b'V' => self.unicode_line()?,
                b'U' | b'C' => {
                    let len = self.number(1)?;
                    self.bytes(len)?;
                }
                b'T' | b'B' => {
                    let len = self.number(4)?;
                    self.bytes(len)?;
                }
                0x8e | 0x96 => {
                    let len = self.number(8)?;
                    self.bytes(len)?;
                }
                0x8c => {
                    let len = self.number(1)?;
                    self.text(len)?;
                }
                b'X' => {
                    let len = self.number(4)?;
                    self.text(len)?;
                }
                0x8d => {
                    let len = self.number(8)?;
                    self.text(len)?;
                }
                b']' | b')' => self.push(Value::List(Vec::new())),
                b'}' => self.push(Value::Dict(Vec::new())),
                b'l' | b't' => {
                    let items = self.marked()?;
                    self.push(Value::List(items));
                }
                0x85..=0x87 => {
                    let items = self.several(usize::from(code - 0x84))?;
                    self.push(Value::List(items));
                }
                b'd' => {
                    let items = self.marked()?;
                    self.push(Value::Dict(Vec::new()));
                    self.set(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                b's' => {
                    let items = self.several(2)?;
                    self.set(items)?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(items)?;
                }
                b'p' | b'g' => {
                    let place = self.ascii()?.parse().map_err(|_| EMPTY)?;
                    self.remember(place, code == b'p')?;
                }
                b'q' | b'h' => {
                    let place = self.number(1)?;
                    self.remember(place, code == b'q')?;
                }
                b'r' | b'j' => {
                    let place = self.number(4)?;
                    self.remember(place, code == b'r')?;
                }
                0x94 => self.remember(self.memo.len() as u64, true)?,
                b'c' => {
                    let (module, name) = (self.ascii()?, self.ascii()?);
                    self.global(module, name)?;
                }
                0x93 => {
                    let names = self.several(2)?;
                    let [Value::Text(module), Value::Text(name)] = [&self.values[names[0]], &self.values[names[1]]] else {
                        return Err(EMPTY.into());
                    };
                    let (module, name) = (module.clone(), name.clone());
                    self.global(&module, &name)?;
                }
                b'R' => self.call()?,
                b'b' => self.build()?,
                _ => {
                    self.at = start;
                    let name = instruction(code);
                    return Err(format!("instruction {code:#04x}{name} is no plain data and is not followed; is this a CIFAR batch?"));
                }
            }
        }
    }

    /// Keeps the top under a number, or pushes what is kept there.
    fn remember(&mut self, place: u64, keep: bool) -> Said<()> {
        if keep {
            self.memo.insert(place, self.top()?);
        } else {
            self.stack.push(*self.memo.get(&place).ok_or(EMPTY)?);
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<usize>) -> Said<()> {
        let list = self.top()?;
        let Value::List(all) = &mut self.values[list] else { return Err(EMPTY.into()) };
        all.extend(items);
        Ok(())
    }

    fn set(&mut self, items: Vec<usize>) -> Said<()> {
        let dict = self.top()?;
        let Value::Dict(all) = &mut self.values[dict] else { return Err(EMPTY.into()) };
        if !items.len().is_multiple_of(2) {
            return Err(EMPTY.into());
        }
        all.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Said<()> {
        let (module, name): (String, String) = (module.chars().take(60).collect(), name.chars().take(60).collect());
        let global = Global::named(&module, &name);
        self.push(Value::Global(
            global.ok_or_else(|| format!("the pickle calls {module}.{name}: only plain data are read, nothing is executed"))?,
        ));
        Ok(())
    }

    /// A line of text with Python's `\u` escapes.
    fn unicode_line(&mut self) -> Said<()> {
        // One byte a letter otherwise.
        let line: String = self.line()?.iter().map(|&byte| char::from(byte)).collect();
        let mut text = String::new();
        let mut rest = &line[..];
        while let Some(at) = rest.find("\\u") {
            let code = rest.get(at + 2..at + 6).and_then(|hex| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
            text.push_str(&rest[..at]);
            text.push(code.ok_or("a text holds a wrong escape; fetch the file again")?);
            rest = &rest[at + 6..];
        }
        text.push_str(rest);
        self.push(Value::Text(text.into()));
        Ok(())
    }

    /// Calls what makes plain data.
    fn call(&mut self) -> Said<()> {
        let parts = self.several(2)?;
        let (Value::Global(global), Value::List(arguments)) = (&self.values[parts[0]], &self.values[parts[1]]) else {
            return Err("the pickle calls something that is no function; nothing is executed".into());
        };
        let argument = |i: usize| arguments.get(i).map(|at| &self.values[*at]);
        let value = match global {
            Global::Reconstruct => Value::Array(None),
            Global::NdArray => return Err("the pickle calls numpy.ndarray: only plain data are read, nothing is executed".into()),
            Global::EmptyBytes if arguments.is_empty() => Value::Bytes(Cow::Borrowed(&[])),
            Global::EmptyBytes => return Err("the pickle calls bytes with values; save it with protocol 2".into()),
            Global::Type => match argument(0) {
                Some(Value::Text(name)) => Value::Type(name.chars().take(20).collect()),
                Some(Value::Bytes(name)) => Value::Type(String::from_utf8_lossy(name).chars().take(20).collect()),
                _ => return Err(EMPTY.into()),
            },
            Global::Encode => {
                let (Some(Value::Text(text)), Some(Value::Text(_) | Value::Bytes(_))) = (argument(0), argument(1)) else {
                    return Err(EMPTY.into());
                };
                // A letter stands for one byte, and may take two of the file.
                self.made += text.chars().count();
                if self.made > self.bytes.len() {
                    return Err("the pickle makes more bytes than it holds; fetch it again".into());
                }
                let bytes =
                    text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| "a text that stands for bytes holds other letters"));
                Value::Bytes(bytes.collect::<std::result::Result<Vec<u8>, _>>()?.into())
            }
            Global::Scalar => {
                let (Some(Value::Type(descr)), Some(Value::Bytes(data))) = (argument(0), argument(1)) else { return Err(EMPTY.into()) };
                let number = Array::new(&ordered(descr, "|"), vec![1], false, &data[..])?.labels("");
                Value::Int(number.map_err(|_| "a NumPy number is not among 0 to 255")?.first().copied().unwrap_or(0).into())
            }
            Global::FromBuffer => {
                let (Some(Value::Type(descr)), Some(shape)) = (argument(1), arguments.get(2)) else { return Err(EMPTY.into()) };
                let fortran = matches!(argument(3), Some(Value::Text(order)) if order == "F");
                Value::Array(Some(Filled { descr: ordered(descr, "|"), shape: self.shape(*shape)?, fortran, data: arguments[0] }))
            }
        };
        self.push(value);
        Ok(())
    }

    /// Fills an array, or gives an element type its byte order.
    fn build(&mut self) -> Said<()> {
        let state = self.pop()?;
        let object = self.top()?;
        let Value::List(state) = &self.values[state] else { return Err(EMPTY.into()) };
        let part = |i: usize| state.get(i).map(|at| &self.values[*at]);
        let filled = match &self.values[object] {
            // Version, shape, element type, order, data.
            Value::Array(_) => {
                let (Some(shape), Some(Value::Type(descr)), Some(Value::Int(fortran)), Some(data)) =
                    (state.get(1), part(2), part(3), state.get(4))
                else {
                    return Err(EMPTY.into());
                };
                let filled = Filled { descr: ordered(descr, "|"), shape: self.shape(*shape)?, fortran: *fortran != 0, data: *data };
                Value::Array(Some(filled))
            }
            // Version, byte order, and what only structured types have.
            Value::Type(name) => match part(1) {
                Some(Value::Text(order)) => Value::Type(ordered(name, order)),
                Some(Value::Bytes(order)) => Value::Type(ordered(name, &String::from_utf8_lossy(order))),
                _ => return Err(EMPTY.into()),
            },
            _ => return Err("the pickle builds an object: only plain data are read, nothing is executed".into()),
        };
        self.values[object] = filled;
        Ok(())
    }

    fn shape(&self, at: usize) -> Said<Vec<usize>> {
        let Value::List(axes) = &self.values[at] else { return Err(EMPTY.into()) };
        if axes.len() > 32 {
            return Err("an array has more than 32 axes".into());
        }
        axes.iter()
            .map(|axis| match self.values[*axis] {
                Value::Int(len) => usize::try_from(len).map_err(|_| EMPTY.to_owned()),
                _ => Err(EMPTY.into()),
            })
            .collect()
    }
}

/// An element type with its byte order in front, unless it has one.
fn ordered(name: &str, order: &str) -> String {
    let has = name.starts_with(['<', '>', '|', '=']);
    if has { name.to_owned() } else { format!("{}{name}", order.chars().next().unwrap_or('|')) }
}

/// The bytes of a quoted Python text.
fn unquoted(line: &[u8]) -> Said<Vec<u8>> {
    let [quote @ (b'\'' | b'"'), inner @ .., last] = line else { return Err(EMPTY.into()) };
    if quote != last {
        return Err(EMPTY.into());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [escape, after @ ..] = rest else { return Err(EMPTY.into()) };
        rest = after;
        bytes.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                rest = rest.get(2..).unwrap_or_default();
                hex.ok_or(EMPTY)?
            }
            other => *other,
        });
    }
    Ok(bytes)
}

/// The name of an instruction that is refused, where it has one.
fn instruction(code: u8) -> &'static str {
    match code {
        b'i' => " (INST)",
        b'o' => " (OBJ)",
        0x81 => " (NEWOBJ)",
        0x92 => " (NEWOBJ_EX)",
        b'P' => " (PERSID)",
        b'Q' => " (BINPERSID)",
        0x82..=0x84 => " (EXT)",
        0x97 => " (NEXT_BUFFER)",
        0x8b => " (LONG4)",
        b'\x8f' | b'\x90' | b'\x91' => " (a set)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written by `golden/make_arrays.py`, in protocols 0 to 5.
    const GOLDEN: [&[u8]; 6] = [
        include_bytes!("golden/pickle_0.bin"),
        include_bytes!("golden/pickle_1.bin"),
        include_bytes!("golden/pickle_2.bin"),
        include_bytes!("golden/pickle_3.bin"),
        include_bytes!("golden/pickle_4.bin"),
        include_bytes!("golden/pickle_5.bin"),
    ];

    fn told(bytes: &[u8]) -> String {
        Pickle::parse("f", bytes).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn pickles_of_all_protocols_are_read() {
        for (protocol, bytes) in GOLDEN.iter().enumerate() {
            let pickle = Pickle::parse("f", bytes).unwrap();
            assert_eq!(pickle.keys(), "data, labels, names", "{protocol}");
            assert_eq!(pickle.array("data").unwrap().rows("f", 3).unwrap(), [1, 2, 3, 250, 251, 252], "{protocol}");
            assert_eq!(pickle.labels("labels").unwrap(), [7, 0], "{protocol}");
            assert_eq!(pickle.texts("names").unwrap(), ["cat", "dog"], "{protocol}");
            assert!(!pickle.has("coarse_labels"));
            for cut in 0..bytes.len() {
                assert!(Pickle::parse("f", &bytes[..cut]).is_err(), "protocol {protocol} cut to {cut} bytes was taken");
            }
        }
        let odd = Pickle::parse("f", include_bytes!("golden/pickle_odd.bin")).unwrap();
        assert_eq!(odd.array("data").unwrap().rows("f", 3).unwrap(), [1, 2, 3, 250, 251, 252]);
        assert_eq!((odd.labels("labels").unwrap(), odd.labels("scalars").unwrap()), (vec![7, 0], vec![7, 0]));
    }

    #[test]
    fn many_keys_of_one_long_text_take_no_time() {
        let long = [&b"T"[..], &600_000_u32.to_le_bytes(), &vec![b'k'; 600_000], b"q\x000"].concat();
        let bytes = [&long[..], b"}(", &b"h\0N".repeat(100_000), b"u."].concat();
        let started = std::time::Instant::now();
        let pickle = Pickle::parse("f", &bytes).unwrap();
        assert!(!pickle.has("labels") && pickle.labels("labels").is_err());
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn nothing_is_executed() {
        assert_eq!(
            told(b"cos\nsystem\n(S'touch /tmp/x'\ntR."),
            "f: byte 11: the pickle calls os.system: only plain data are read, nothing is executed"
        );
        assert!(told(b"\x80\x04\x8c\x02os\x8c\x06system\x93.").contains("the pickle calls os.system"));
        assert!(told(b"cnumpy\nndarray\n)R.").contains("the pickle calls numpy.ndarray"));
        assert!(told(b"(ios\nsystem\n.").contains("byte 1: instruction 0x69 (INST) is no plain data"));
        assert!(told(b"\x80\x02N)\x81.").contains("byte 4: instruction 0x81 (NEWOBJ)"));
        assert!(told(b"Pa\n.").contains("instruction 0x50 (PERSID)"));
        assert!(told(b"}N)b.").contains("byte 4: the pickle builds an object: only plain data are read"));
    }

    #[test]
    fn damage_is_told_with_the_byte() {
        assert!(told(b"").contains("byte 0: the pickle ends too early"));
        assert!(told(b"]").contains("byte 1: the pickle ends too early"));
        assert!(told(b"].").contains("the pickle holds no dictionary"));
        assert!(told(b"\x80\x09.").contains("pickle protocol 9 is not known"));
        assert!(told(b"\x80\x02T\xff\xff\xff\xff.").contains("byte 7: the pickle ends too early"));
        assert!(told(b"a.").contains("an instruction lacks its values"));
        assert!(told(b"h\x05.").contains("an instruction lacks its values"));
        // A text that is made into bytes again and again would fill the memory.
        let bomb =
            [b"c_codecs\nencode\nq\x00X\x14\x00\x00\x00aaaaaaaaaaaaaaaaaaaaU\x01b\x86q\x01".to_vec(), b"h\x00h\x01R".repeat(20)].concat();
        assert!(told(&bomb).contains("makes more bytes than it holds"), "{}", told(&bomb));
        for code in [b")".as_slice(), b"N\x94\x94"] {
            let many = code.repeat(MOST + 2);
            assert!(told(&many).contains("the pickle has more than 1048576 values; save fewer images in one batch"));
        }
        let pickle = Pickle::parse("f", b"}U\x01aI300\nsU\x01b](I300\nesU\x01c](Nes.").unwrap();
        assert!(pickle.array("a").unwrap_err().to_string().contains("f: key a: no NumPy array (keys: a, b, c)"));
        assert!(pickle.labels("b").unwrap_err().to_string().contains("key b, row 0: label 300 is not among 0 to 255"));
        assert!(pickle.labels("c").unwrap_err().to_string().contains("key c, row 0: the label is no whole number"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn changed_pickles_never_panic(which in 0usize..6, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = GOLDEN[which].to_vec();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(pickle) = Pickle::parse("f", &bytes) {
                let _ = (pickle.array("data").and_then(|a| a.rows("f", 3)), pickle.labels("labels"), pickle.texts("names"), pickle.keys());
            }
        }

        #[test]
        fn random_pickles_never_panic(bytes in prop::collection::vec(prop::sample::select(b"().N]}aesubtRlhqpgIKJUVTXSc0123\n'\x80\x02\x85\x86\x93\x94\x8c\x95".to_vec()), 0..60)) {
            let _ = Pickle::parse("f", &bytes);
        }
    }
}
