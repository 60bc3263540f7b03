//! Whether a JPEG file is whole.
//!
//! The decoder paints what is missing grey, and drops all scans of a progressive picture after one that it cannot read. An end marker
//! shows nothing: programs that repair or send pictures put one behind a file that is cut short, and a whole file may lack it. So the
//! coded blocks are counted (ITU-T T.81, annexes E to G). On the way, the blocks of a colour can be copied into a file of its own.
//! Nothing is decoded to pixels here.

/// How a picture's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the end marker of its format.
    Marked,
    /// Everything is there but the end marker.
    Unmarked,
    /// Before the end of the picture.
    Cut,
    /// With the end marker, though a scan has too few blocks or cannot be read, or a colour has none.
    Damaged,
}

/// Most scans of a progressive picture, as in the decoder.
const MOST_SCANS: usize = 100;

/// How the JPEG file `bytes` ends. Pictures that are not decoded anyway (arithmetic coding, lossless, too large) count as [`End::Marked`].
pub(super) fn end(bytes: &[u8]) -> End {
    let walk = || Walk { bytes, at: 2, tables: false };
    let mut first = walk();
    match first.markers(None) {
        None => End::Cut,
        Some(Stop::Foreign) => End::Marked,
        // A frame of a film (MJPEG): it is decoded with tables that are not in the file.
        Some(Stop::Marker) if !first.tables => End::Marked,
        // Once more, now with the blocks counted.
        Some(stop) => {
            let mut frame = Frame::default();
            match (stop, walk().markers(Some(&mut frame))) {
                (Stop::Data, Some(_)) if frame.rest == 0 && frame.complete() => End::Unmarked,
                (Stop::Data, _) => End::Cut,
                (_, Some(_)) if frame.begun() => End::Marked,
                (_, _) => End::Damaged,
            }
        }
    }
}

/// The segments before the first scan, each with its marker.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            match bytes.get(at..at + 2)? {
                [0xff, 0xda] => return None,
                [0xff, marker] if !matches!(marker, 0 | 1 | 0xd0..=0xd9 | 0xff) => {
                    let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?)).max(2);
                    let segment = bytes.get(at + 4..at + 2 + length)?;
                    at += 2 + length;
                    return Some((*marker, segment));
                }
                _ => at += 1,
            }
        }
    })
}

/// The name of a kind of JPEG that is not decoded; `None` of all others, damaged ones too.
pub(super) fn unread(bytes: &[u8]) -> Option<String> {
    let (marker, frame) =
        segments(bytes).find(|(marker, _)| matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xf7))?;
    let (bits, channels) = (*frame.first()?, *frame.get(5)?);
    match marker {
        0xf7 => Some("a JPEG-LS picture".into()),
        0xc3 | 0xcb => Some("a lossless JPEG picture".into()),
        0xc5..=0xc7 | 0xcd..=0xcf => Some("a hierarchical JPEG picture".into()),
        0xc9 | 0xca => Some("a JPEG picture in arithmetic coding".into()),
        _ if bits != 8 => Some(format!("a JPEG picture of {bits} bits per channel")),
        _ => (!matches!(channels, 1 | 3 | 4)).then(|| format!("a JPEG picture of {channels} channels")),
    }
}

/// Whether the file says that further pictures lie behind the first (CIPA DC-007, "multi-picture format": the number of images is the
/// entry 0xb001 of its index).
#[cfg(feature = "native")]
pub(super) fn has_more_pictures(bytes: &[u8]) -> bool {
    let images = |index: &[u8]| {
        let big = index.starts_with(b"MM");
        let number = |at: usize, length: usize| {
            let bytes = index.get(at..at + length)?.iter().map(|byte| usize::from(*byte));
            Some(if big { bytes.fold(0, |n, byte| n << 8 | byte) } else { bytes.rev().fold(0, |n, byte| n << 8 | byte) })
        };
        let first = number(4, 4)?;
        let mut entries = (0..number(first, 2)?).map(|i| first + 2 + 12 * i);
        entries.find(|at| number(*at, 2) == Some(0xb001)).and_then(|at| number(at + 8, 4))
    };
    segments(bytes)
        .any(|(marker, segment)| marker == 0xe2 && segment.strip_prefix(b"MPF\0").and_then(images).is_some_and(|count| count > 1))
}

/// Where the markers end.
enum Stop {
    /// At the end marker.
    Marker,
    /// With the coded data of a scan.
    Data,
    /// At a frame that is not decoded.
    Foreign,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether the file has tables of codes.
    tables: bool,
}

impl Walk<'_> {
    /// Follows the markers; with a `frame`, counts the blocks of each scan. `None` where the file ends within a segment, or a scan has
    /// fewer blocks than the picture.
    fn markers(&mut self, mut frame: Option<&mut Frame>) -> Option<Stop> {
        let mut scans = 0;
        loop {
            // Bytes between segments are skipped, as other decoders do.
            while *self.bytes.get(self.at)? != 0xff || matches!(*self.bytes.get(self.at + 1)?, 0 | 0xff) {
                self.at += 1;
            }
            let marker = self.bytes[self.at + 1];
            self.at += 2;
            match marker {
                0xd9 => return Some(Stop::Marker),
                0x01 | 0xd0..=0xd8 => continue,
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return (scans == 0).then_some(Stop::Foreign),
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes([*self.bytes.get(self.at)?, *self.bytes.get(self.at + 1)?]));
            let segment = self.bytes.get(self.at + 2..self.at + length.max(2))?;
            self.at += length.max(2);
            if matches!(marker, 0xc0..=0xc2) {
                let sides = [segment.get(1..3)?, segment.get(3..5)?].map(|s| u32::from(s[0]) << 8 | u32::from(s[1]));
                // Refused for its size by the decoder.
                if sides.iter().any(|side| *side > super::picture::MAX_SIDE) {
                    return Some(Stop::Foreign);
                }
            }
            self.tables |= marker == 0xc4;
            if let Some(frame) = &mut frame {
                if let (0xc4 | 0xdb | 0xdd, Some(copy)) = (marker, &mut frame.copy) {
                    copy.segment(marker, segment);
                }
                match marker {
                    0xc0..=0xc2 => frame.start(segment, marker)?,
                    0xc4 => frame.tables(segment)?,
                    0xdd => frame.interval = usize::from(u16::from_be_bytes([*segment.first()?, *segment.get(1)?])),
                    _ => {}
                }
            }
            if marker == 0xda {
                let data = &self.bytes[self.at..];
                let length = scan_length(data);
                self.at += length.unwrap_or(data.len());
                scans += 1;
                if let Some(frame) = &mut frame {
                    let coded = &data[..length.unwrap_or(data.len())];
                    // Half an end marker.
                    let coded = if length.is_none() { coded.strip_suffix(&[0xff]).unwrap_or(coded) } else { coded };
                    frame.scan(segment, coded)?;
                    if scans > MOST_SCANS {
                        return None;
                    }
                }
                if length.is_none() {
                    return Some(Stop::Data);
                }
            }
        }
    }
}

/// Bytes of the coded data at the start of `data`; `None` if no marker follows them.
fn scan_length(data: &[u8]) -> Option<usize> {
    (0..data.len().saturating_sub(1)).find(|&i| data[i] == 0xff && !matches!(data[i + 1], 0 | 0xd0..=0xd7 | 0xff))
}

/// What is known of the picture's blocks.
#[derive(Default)]
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    parts: Vec<Component>,
    /// Huffman tables for the mean values, then for the others.
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    /// Units between restarts; 0 for none.
    interval: usize,
    /// Bytes of the last scan behind its blocks.
    rest: usize,
    /// Takes the blocks of one colour.
    copy: Option<ColourFile>,
}

/// The file of a colour that has one block in each unit: its blocks have the same order there, and so the same code.
#[derive(Default)]
struct ColourFile {
    /// Its place among the components.
    part: usize,
    file: Vec<u8>,
    /// Bits that do not fill a byte yet, and how many.
    held: u32,
    count: u8,
}

impl ColourFile {
    fn segment(&mut self, marker: u8, content: &[u8]) {
        self.file.extend([0xff, marker]);
        self.file.extend((content.len() as u16 + 2).to_be_bytes());
        self.file.extend(content);
    }

    fn put(&mut self, bits: u32, n: u8) {
        self.held = self.held << n | bits;
        self.count += n;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.file.push(byte);
            // A byte of ones is followed by a zero.
            self.file.extend((byte == 0xff).then_some(0));
        }
    }

    /// Fills the last byte with ones.
    fn fill(&mut self) {
        if self.count > 0 {
            let free = 8 - self.count;
            self.put((1 << free) - 1, free);
        }
    }
}

/// The colour components of a picture whose last two have half as many columns or rows as the first, each as a file of one component;
/// that of the first has all three, with nothing but zeros in the others.
pub(super) struct Halved {
    pub files: [Vec<u8>; 3],
    /// Columns and rows of the picture.
    pub size: (u32, u32),
    /// Columns, then rows, of the first for each of the others: 1 or 2.
    pub across: usize,
    pub down: usize,
}

/// Those of a file whose blocks are all there; `None` where the colours are not halved, or are not brightness and two colour differences, or
/// the picture is not wanted by its size and its columns and rows to one of the colours.
pub(super) fn halved(bytes: &[u8], wanted: impl Fn((u32, u32), (usize, usize)) -> bool) -> Option<Halved> {
    let segments: Vec<(u8, &[u8])> = segments(bytes).collect();
    let frame = segments.iter().find(|(marker, _)| matches!(marker, 0xc0..=0xc2)).map(|(_, frame)| *frame)?;
    let &[8, high, low, wide, narrow, 3, first, factors, table, second, 0x11, _, third, 0x11, _] = frame else { return None };
    let adobe = segments.iter().find(|(marker, segment)| *marker == 0xee && segment.starts_with(b"Adobe"));
    let plain = [first, second, third] == *b"RGB" || adobe.is_some_and(|(_, segment)| segment.get(11) != Some(&1));
    let size = [[wide, narrow], [high, low]].map(|side| u32::from(u16::from_be_bytes(side)));
    let (size, factors) = ((size[0], size[1]), (usize::from(factors >> 4), usize::from(factors & 15)));
    if plain || !matches!(factors, (2, 1 | 2) | (1, 2)) || !wanted(size, factors) {
        return None;
    }
    // The brightness: the other colours get a table of zeros, under a number that is not the first one's.
    let (zeros, start) = ((table + 1) % 4, frame.as_ptr() as usize - bytes.as_ptr() as usize);
    let mut brightness = bytes.to_vec();
    (brightness[start + 11], brightness[start + 14]) = (zeros, zeros);
    let scan = segments.last().map(|(_, last)| last.as_ptr() as usize - bytes.as_ptr() as usize + last.len())?;
    let before = brightness.get(scan..)?.iter().position(|byte| *byte == 0xff)? + scan;
    brightness.splice(before..before, [&[0xff, 0xdb, 0, 67, zeros][..], &[0; 64]].concat());
    let colour = |part| {
        let copy = ColourFile { part, file: vec![0xff, 0xd8], ..ColourFile::default() };
        let mut frame = Frame { copy: Some(copy), ..Frame::default() };
        Walk { bytes, at: 2, tables: false }.markers(Some(&mut frame))?;
        let mut file = frame.copy?.file;
        file.extend([0xff, 0xd9]);
        Some(file)
    };
    Some(Halved { files: [brightness, colour(1)?, colour(2)?], size, across: factors.0, down: factors.1 })
}

/// A colour component.
struct Component {
    id: u8,
    across: usize,
    down: usize,
    /// Blocks in a row, filled up to whole units.
    stride: usize,
    /// For each block, one bit for each coefficient that is not zero.
    nonzero: Vec<u64>,
    /// For each coefficient, how many low bits are still to come; `None` if it has not come at all.
    missing: [Option<u8>; 64],
}

impl Frame {
    fn start(&mut self, segment: &[u8], marker: u8) -> Option<()> {
        let progressive = marker == 0xc2;
        let side = |at| Some(usize::from(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?])));
        (self.progressive, self.height, self.width) = (progressive, side(1)?, side(3)?);
        let count = usize::from(*segment.get(5)?);
        if self.height == 0 || self.width == 0 || !(1..=4).contains(&count) {
            return None;
        }
        self.parts.clear();
        for part in segment.get(6..6 + 3 * count)?.chunks_exact(3) {
            let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return None;
            }
            self.parts.push(Component { id: part[0], across, down, stride: 0, nonzero: Vec::new(), missing: [None; 64] });
        }
        let (columns, rows) = self.units();
        for part in &mut self.parts {
            part.stride = columns * part.across;
            // The blocks are remembered where later scans refine them.
            part.nonzero = if progressive { vec![0; part.stride * rows * part.down] } else { Vec::new() };
        }
        let (across, down) = self.most();
        if let Some(copy) = &mut self.copy {
            let component = segment.get(6 + 3 * copy.part..9 + 3 * copy.part)?;
            let [height, width] = [self.height.div_ceil(down), self.width.div_ceil(across)].map(|side| (side as u16).to_be_bytes());
            copy.segment(marker, &[&[8], &height[..], &width, &[1, component[0], 0x11, component[2]]].concat());
        }
        Some(())
    }

    fn most(&self) -> (usize, usize) {
        (self.parts.iter().map(|p| p.across).max().unwrap_or(1), self.parts.iter().map(|p| p.down).max().unwrap_or(1))
    }

    /// Units of interleaved blocks, across and down.
    fn units(&self) -> (usize, usize) {
        let (across, down) = self.most();
        (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down))
    }

    fn tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&head, rest)) = segment.split_first() {
            let counts = rest.get(..16)?;
            let symbols = rest.get(16..16 + counts.iter().map(|c| usize::from(*c)).sum::<usize>())?;
            let tables = if head & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(head & 15))? = Some(Huffman::new(counts, symbols));
            segment = &rest[16 + symbols.len()..];
        }
        Some(())
    }

    /// Whether every coefficient of every component has come in full.
    fn complete(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|p| p.missing.iter().all(|m| *m == Some(0)))
    }

    /// Whether something of every component has come. A progressive picture need not bring all its bits.
    fn begun(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|p| p.missing[0].is_some())
    }

    /// Goes through the blocks of one scan; `None` if `data` are too few for them.
    fn scan(&mut self, header: &[u8], data: &[u8]) -> Option<()> {
        let count = usize::from(*header.first()?);
        let tail = header.get(1 + 2 * count..4 + 2 * count)?;
        let (from, to, high, low) = if self.progressive { (tail[0], tail[1], tail[2] >> 4, tail[2] & 15) } else { (0, 63, 0, 0) };
        if from > to || to > 63 {
            return None;
        }
        let mut chosen = Vec::new();
        for pair in header[1..1 + 2 * count].chunks_exact(2) {
            let part = self.parts.iter().position(|p| p.id == pair[0])?;
            chosen.push((part, usize::from(pair[1] >> 4), usize::from(pair[1] & 15)));
            self.parts[part].missing[usize::from(from)..=usize::from(to)].fill(Some(low));
        }
        let (columns, rows) = match chosen[..] {
            [] => return None,
            [(part, ..)] => {
                let (part, (across, down)) = (&self.parts[part], self.most());
                ((self.width * part.across).div_ceil(8 * across), (self.height * part.down).div_ceil(8 * down))
            }
            _ => self.units(),
        };
        let alone = chosen.len() == 1;
        let mut copy = self.copy.take();
        let copied = copy.as_ref().and_then(|copy| chosen.iter().position(|(part, ..)| *part == copy.part));
        if let (Some(place), Some(copy)) = (copied, &mut copy) {
            copy.segment(0xda, &[&[1, header[1 + 2 * place], header[2 + 2 * place]], tail].concat());
        }
        let mut bits = Bits { data, at: 0, held: 0, count: 0, copy, copied: false };
        let mut band = Band { from, to, first: high == 0, run: 0 };
        for unit in 0..columns * rows {
            if self.interval > 0 && unit > 0 && unit % self.interval == 0 {
                bits.restart(copied.is_some())?;
                band.run = 0;
            }
            for (place, &(part, dc, ac)) in chosen.iter().enumerate() {
                bits.copied = copied == Some(place);
                let (across, down) = if alone { (1, 1) } else { (self.parts[part].across, self.parts[part].down) };
                for block in 0..across * down {
                    let (x, y) = (unit % columns * across + block % across, unit / columns * down + block / across);
                    let part = &mut self.parts[part];
                    let mut sequential = 0;
                    let nonzero = if self.progressive { part.nonzero.get_mut(y * part.stride + x)? } else { &mut sequential };
                    if from == 0 {
                        if !band.first {
                            bits.take(1)?;
                        } else {
                            let size = bits.symbol(self.dc.get(dc)?.as_ref()?)?;
                            bits.take(size)?;
                        }
                    }
                    if to > 0 {
                        band.block(&mut bits, self.ac.get(ac)?.as_ref()?, nonzero)?;
                    }
                }
            }
        }
        self.rest = data.len() - bits.at + usize::from(bits.count / 8);
        self.copy = bits.copy.map(|mut copy| {
            copy.fill();
            copy
        });
        Some(())
    }
}

/// A band of coefficients in a scan.
struct Band {
    from: u8,
    to: u8,
    /// Whether this scan brings their first bits.
    first: bool,
    /// Blocks that follow without a coefficient of their own.
    run: u32,
}

impl Band {
    /// The coefficients after the mean value of one block.
    fn block(&mut self, bits: &mut Bits, table: &Huffman, nonzero: &mut u64) -> Option<()> {
        let mut at = u32::from(self.from.max(1));
        let to = u32::from(self.to);
        while self.run == 0 && at <= to {
            let symbol = bits.symbol(table)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            if size == 0 && zeros < 15 {
                // Only progressive scans end several blocks at once.
                let zeros = if self.from == 0 { 0 } else { zeros };
                self.run = (1 << zeros) + bits.take(zeros as u8)?;
                break;
            }
            if self.first {
                bits.take(size)?;
                at += zeros;
                if size > 0 && at <= to {
                    *nonzero |= 1 << at;
                }
                at += 1;
                continue;
            }
            if size > 0 {
                bits.take(1)?;
            }
            // Coefficients that are there already have a bit each, and do not count as zeros.
            while at <= to {
                if *nonzero & (1 << at) != 0 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    *nonzero |= u64::from(size > 0) << at;
                    at += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
        }
        if self.run > 0 {
            self.run -= 1;
            if !self.first {
                let rest = (at..=to).filter(|k| *nonzero & (1 << k) != 0).count();
                (0..rest).try_for_each(|_| bits.take(1).map(drop))?;
            }
        }
        Some(())
    }
}

/// The codes of one table: for each length, the first code, how many there are, and where their symbols begin.
struct Huffman {
    lengths: [(u32, u32, usize); 16],
    symbols: Vec<u8>,
    /// For each byte, the length and the symbol of the code that it begins with; length 0 where the code is longer.
    short: [(u8, u8); 256],
}

impl Huffman {
    fn new(counts: &[u8], symbols: &[u8]) -> Huffman {
        let (mut lengths, mut short) = ([(0, 0, 0); 16], [(0, 0); 256]);
        let (mut code, mut place) = (0, 0);
        for (length, (entry, &count)) in (1..).zip(lengths.iter_mut().zip(counts)) {
            *entry = (code, u32::from(count), place);
            for (code, &symbol) in (code..).zip(&symbols[place..place + usize::from(count)]) {
                if length <= 8 {
                    let first = (code as usize) << (8 - length);
                    short.iter_mut().skip(first).take(1 << (8 - length)).for_each(|entry| *entry = (length as u8, symbol));
                }
            }
            code = (code + u32::from(count)) << 1;
            place += usize::from(count);
        }
        Huffman { lengths, symbols: symbols.to_vec(), short }
    }
}

/// The bits of a scan.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u32,
    count: u8,
    copy: Option<ColourFile>,
    /// Whether the bits that are taken are copied.
    copied: bool,
}

impl Bits<'_> {
    /// The next `n` bits; `None` at the end, at a marker, and for more than 16, which no code asks for.
    fn take(&mut self, n: u8) -> Option<u32> {
        if n > 16 {
            return None;
        }
        while self.count < n {
            self.fill()?;
        }
        self.count -= n;
        let bits = self.held >> self.count & ((1 << n) - 1);
        self.hand_on(bits, n);
        Some(bits)
    }

    fn hand_on(&mut self, bits: u32, n: u8) {
        if let Some(copy) = self.copy.as_mut().filter(|_| self.copied) {
            copy.put(bits, n);
        }
    }

    /// Adds a byte to those held; `None` at the end and at a marker.
    fn fill(&mut self) -> Option<()> {
        let byte = *self.data.get(self.at)?;
        // A byte of ones is followed by a zero.
        let stuffed = byte == 0xff;
        (!stuffed || *self.data.get(self.at + 1)? == 0).then_some(())?;
        self.at += 1 + usize::from(stuffed);
        self.held = self.held << 8 | u32::from(byte);
        self.count += 8;
        Some(())
    }

    fn symbol(&mut self, table: &Huffman) -> Option<u8> {
        if self.count >= 8 || self.fill().is_some() {
            let (length, symbol) = table.short[(self.held >> (self.count - 8) & 255) as usize];
            if length > 0 {
                self.count -= length;
                self.hand_on(self.held >> self.count & ((1 << length) - 1), length);
                return Some(symbol);
            }
        }
        let mut code = 0;
        for (first, count, place) in table.lengths {
            code = code << 1 | self.take(1)?;
            if code >= first && code - first < count {
                return table.symbols.get(place + (code - first) as usize).copied();
            }
        }
        None
    }

    /// Leaves the rest of the byte, and the restart marker that must follow.
    fn restart(&mut self, copied: bool) -> Option<()> {
        (self.count < 8).then_some(())?;
        self.count = 0;
        while *self.data.get(self.at)? == 0xff && *self.data.get(self.at + 1)? == 0xff {
            self.at += 1;
        }
        let marker = [self.data[self.at], self.data[self.at + 1]];
        matches!(marker, [0xff, 0xd0..=0xd7]).then_some(())?;
        if let Some(copy) = self.copy.as_mut().filter(|_| copied) {
            copy.fill();
            copy.file.extend(marker);
        }
        self.at += 2;
        Some(())
    }
}
