//! Decides how a folder of pictures is laid out: which folders are domains, splits and classes.
//!
//! | below the folder of a domain | read as |
//! |---|---|
//! | `CLASS/PICTURE` | classes; the test split is drawn |
//! | `SPLIT/CLASS/PICTURE` | the data set's own splits |
//! | `CLASS/SPLIT/PICTURE` | the same in the other order |
//!
//! `SPLIT` is `train` or `training`; `val`, `valid` or `validation`; `test` or `testing`, in any letter case. The folder of the data is one
//! such domain, holds one folder per domain, or holds `SPLIT/DOMAIN/CLASS/PICTURE`. Pictures at any depth below a class folder are the
//! class's. Everything here is a pure function of the scanned [`Folder`]: each picture gets a role or a reason why it is left out, and a
//! folder that could be read in two ways is an error which says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::tree::{Folder, Left, Why, few};
use crate::Error;

/// The layouts, for messages.
pub(super) const LAYOUTS: &str = "known layouts: CLASS/PICTURE, train|val|test/CLASS/PICTURE and CLASS/train|val|test/PICTURE, \
    each also in one folder per domain (see datasets/README.md)";

/// Names that say nothing, of a folder between a class and its pictures.
const WRAPPERS: [&str; 5] = ["images", "image", "imgs", "pictures", "photos"];

/// What the pictures of a folder are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Train,
    Validation,
    Test,
}

const ROLES: [Role; 3] = [Role::Train, Role::Validation, Role::Test];

impl Role {
    fn words(self) -> &'static [&'static str] {
        match self {
            Role::Train => &["train", "training"],
            Role::Validation => &["val", "valid", "validation"],
            Role::Test => &["test", "testing"],
        }
    }

    /// The role that a folder of exactly this name has.
    pub fn of(name: &str) -> Option<Role> {
        let name = name.to_lowercase();
        ROLES.into_iter().find(|role| role.words().contains(&name.as_str()))
    }

    /// The role in a name and what else is in it: `seg_train` and `seg_test`, or `trainA` and `testA`, differ in the role alone.
    pub fn within(name: &str) -> Option<(Role, String)> {
        let mut words = words(name);
        let of = |word: &String| {
            let word = word.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('s');
            Role::of(word.strip_suffix("set").unwrap_or(word))
        };
        let at = words.iter().position(|word| of(word).is_some())?;
        Some((of(&words.remove(at))?, words.join(" ")))
    }
}

/// The words of a name such as `photo_test`, `photo-test` or `photoTest`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() && spaced.ends_with(char::is_lowercase) {
            spaced.push(' ');
        }
        spaced.push(c);
    }
    spaced.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// Short forms of splits' names, which are other words in other languages and fields.
const SHORT: [&str; 10] = ["tr", "trn", "te", "ts", "tst", "va", "vl", "vali", "dev", "eval"];

/// Folders that may be meant as splits, though their names do not say so; `what` they are taken for: classes or domains.
fn hints(folders: &[&Folder], what: &str) -> Vec<String> {
    let Some(above) = folders.first().and_then(|f| f.path.parent()) else { return Vec::new() };
    let beside = |folder: &&Folder| {
        let (role, rest) = Role::within(&folder.name).filter(|(role, rest)| *role != Role::Train && !rest.is_empty())?;
        let base = folders.iter().find(|f| words(&f.name).join(" ") == rest)?;
        let (base, name, split) = (&base.name, &folder.name, role.words()[0]);
        Some(format!(
            "{}: {base}/ and {name}/ are taken for {what}; if {name}/ is the {split} split of {base}/, move them to {base}/train/ and \
             {base}/{split}/",
            above.display()
        ))
    };
    let mut notes: Vec<String> = folders.iter().filter_map(beside).collect();
    if folders.len() > 1 && folders.iter().all(|f| SHORT.contains(&f.name.to_lowercase().as_str())) {
        notes.push(format!(
            "{}: {} are taken for {what}; if they are splits of one data set, rename them to train, val and test",
            above.display(),
            names(folders)
        ));
    }
    notes
}

/// A picture, its class and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub class: String,
    pub role: Role,
    pub path: PathBuf,
}

/// One domain of pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub name: String,
    pub path: PathBuf,
    /// Sorted by class, role and path; all of them for training where `split` is false.
    pub pictures: Vec<Picture>,
    /// Whether the folders say which pictures are for testing.
    pub split: bool,
    /// Whether folders say which pictures are for training.
    pub trains: bool,
    pub left: Vec<Left>,
    pub notes: Vec<String>,
}

impl Plan {
    /// Names of the classes, sorted.
    pub fn classes(&self) -> Vec<String> {
        self.pictures.iter().map(|p| p.class.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn of(folder: &Folder) -> Plan {
        Plan { name: folder.name.clone(), path: folder.path.clone(), ..Plan::default() }
    }

    /// Every picture below `folder` is one of `class`.
    fn add(&mut self, class: &str, role: Role, folder: &Folder) {
        let new = |path| Picture { class: class.to_owned(), role, path };
        self.pictures.extend(folder.all_pictures().into_iter().map(new));
        self.left.extend(folder.all_left());
    }

    /// What lies in `folder` itself and in those of its folders that have no picture is no part of the domain.
    fn leave_rest(&mut self, folder: &Folder) -> Result<(), String> {
        self.left.extend(folder.left.iter().cloned());
        self.left.extend(folder.pictures.iter().map(|path| Left { path: path.clone(), why: Why::Loose }));
        for empty in folder.folders.iter().filter(|f| !f.has_pictures()) {
            let left = empty.all_left();
            if left.iter().any(|l| l.why.is_picture()) {
                return Err(no_picture(empty));
            }
            self.left.extend(left);
        }
        Ok(())
    }

    /// A folder for a class without one picture, here or in another of these folders of classes, is a mistake.
    fn check_classes(&self, parents: &[&Folder]) -> Result<(), String> {
        let known: BTreeSet<&str> = self.pictures.iter().map(|p| p.class.as_str()).collect();
        let mut empty = parents.iter().flat_map(|p| &p.folders).filter(|f| !f.has_pictures() && !known.contains(f.name.as_str()));
        let holds_files = |f: &&Folder| f.all_left().iter().any(|l| l.why != Why::Empty);
        empty.find(holds_files).map_or(Ok(()), |folder| Err(no_picture(folder)))
    }

    fn done(mut self) -> Plan {
        self.split = self.pictures.iter().any(|p| p.role == Role::Test);
        self.pictures.sort_by(|a, b| (&a.class, a.role, &a.path).cmp(&(&b.class, b.role, &b.path)));
        self
    }
}

fn no_picture(folder: &Folder) -> String {
    let all = folder.all_left();
    let names: Vec<String> = all.iter().filter_map(|l| Some(l.path.file_name()?.to_string_lossy().into_owned())).collect();
    if all.iter().all(|l| l.why == Why::Ending) {
        return format!(
            "{}: its pictures ({}) have no ending such as .png or .jpg, and only files with one are read: add it to their names",
            folder.path.display(),
            few(&names)
        );
    }
    format!(
        "{}: there is no readable picture (found {}): put PNG, JPEG, WebP or BMP pictures there, or remove the folder",
        folder.path.display(),
        few(&names)
    )
}

/// How a folder can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As one domain.
    One(Plan),
    /// As one with splits above its domains; and what is no part of any of them.
    Many(Vec<Plan>, Vec<Left>),
    /// Not by itself: its folders may be domains.
    Unknown,
}

/// A folder that is no domain as it is.
#[derive(Debug)]
pub(super) struct Refused {
    pub name: String,
    /// What is wrong and what to do.
    pub error: Error,
    /// Whether its data begin one level further down, so that it is no domain of this folder at all.
    pub deeper: bool,
}

/// What the folders of pictures in a folder of data are.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub plans: Vec<Plan>,
    /// What is no part of any domain.
    pub left: Vec<Left>,
    /// They matter where they are asked for by name, or all domains are.
    pub refused: Vec<Refused>,
    pub notes: Vec<String>,
}

/// The domains of a folder of data.
///
/// # Errors
/// As [`shape`], of the folder itself.
pub(super) fn layout(root: &Folder) -> Result<Layout, String> {
    match shape(root)? {
        Shape::One(plan) => return Ok(Layout { plans: vec![plan], ..Layout::default() }),
        Shape::Many(plans, left) => return Ok(Layout { plans, left, ..Layout::default() }),
        Shape::Unknown => {}
    }
    let mut rest = Plan::of(root);
    rest.leave_rest(root)?;
    let mut layout = domains(&root.kids());
    rest.left.append(&mut layout.left);
    Ok(Layout { left: rest.left, ..layout })
}

/// Those of `folders` that are domains, and the content of the others as left out.
pub(super) fn domains(folders: &[&Folder]) -> Layout {
    let (mut plans, mut others, mut left, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut refuse = |folder: &Folder, why, deeper| refused.push(Refused { name: folder.name.clone(), error: Error::Data(why), deeper });
    for folder in folders {
        match shape(folder) {
            Ok(Shape::One(plan)) => plans.push(plan),
            Ok(Shape::Many(..)) => refuse(folder, too_high(folder), true),
            Ok(Shape::Unknown) => others.push(*folder),
            Err(why) => refuse(folder, why, false),
        }
    }
    let known: BTreeSet<String> = plans.iter().flat_map(Plan::classes).collect();
    for folder in others {
        // The classes of the other domains, with all pictures one level deeper.
        let kids = folder.kids();
        if !kids.is_empty() && kids.iter().all(|kid| known.contains(&kid.name)) {
            match classes(folder, &kids, Vec::new()) {
                Ok(plan) => plans.push(plan),
                Err(why) => refuse(folder, why, false),
            }
        } else if let Some(inner) = passed(folder) {
            match inner {
                Ok(plan) => plans.push(plan),
                Err(why) => refuse(folder, why, false),
            }
        } else if kids.iter().any(|kid| !matches!(shape(kid), Ok(Shape::Unknown))) {
            refuse(folder, too_high(folder), true);
        } else {
            left.extend(folder.left_whole(Why::Beside));
        }
    }
    plans.sort_by(|a, b| a.path.cmp(&b.path));
    let found: Vec<&Folder> = folders.iter().filter(|f| plans.iter().any(|p| p.path == f.path)).copied().collect();
    let notes = hints(&found, "domains");
    Layout { plans, left, refused, notes }
}

/// The domain in a folder that holds one folder alone, at any depth, as in Office-31's `DOMAIN/images/CLASS`.
fn passed(folder: &Folder) -> Option<Result<Plan, String>> {
    let (mut inner, mut above) = (folder, Vec::new());
    while let [one] = inner.kids()[..]
        && inner.pictures.is_empty()
        && !one.kids().is_empty()
    {
        above.push(inner);
        inner = one;
    }
    let named = |mut plan: Plan| {
        above.iter().try_for_each(|passed| plan.leave_rest(passed))?;
        Ok(Plan { name: folder.name.clone(), path: folder.path.clone(), ..plan })
    };
    match shape(inner) {
        Ok(Shape::One(plan)) => Some(named(plan)),
        Ok(_) => None,
        Err(why) => Some(Err(why)),
    }
}

fn too_high(folder: &Folder) -> String {
    format!("{}: the data set begins one level further down: give --data-dir {}", folder.path.display(), folder.path.display())
}

/// How `folder` is laid out.
///
/// # Errors
/// A message for a folder that can be read in two ways, or in none though its names are those of splits.
pub(super) fn shape(folder: &Folder) -> Result<Shape, String> {
    let kids = folder.kids();
    let roles: Vec<Role> = kids.iter().filter_map(|k| Some(Role::within(&k.name)?.0)).collect();
    if roles.len() == kids.len() && roles.iter().any(|r| *r != roles[0]) && kids.iter().any(|k| Role::of(&k.name).is_none()) {
        return Err(format!(
            "{}: {} look like the splits of one data set: rename them to train, val and test; {LAYOUTS}",
            folder.path.display(),
            names(&kids)
        ));
    }
    if let Some(pair) = hidden_splits(&kids) {
        return Err(format!(
            "{}: {} look like the splits of one data set: put them into train, val and test; {LAYOUTS}",
            folder.path.display(),
            names(&pair)
        ));
    }
    let (roled, others): (Vec<&Folder>, Vec<&Folder>) = kids.iter().partition(|k| Role::of(&k.name).is_some());
    let flat = |f: &&Folder| f.kids().is_empty();
    let mut notes = hints(&kids, "classes");
    match &roled[..] {
        [] => {}
        // A class may be called so: trains, for example, beside other vehicles.
        [one] if flat(one) && !others.is_empty() && others.iter().all(flat) => notes.push(format!(
            "{}: {} is taken for a class, because it holds pictures right beside those of {}",
            folder.path.display(),
            one.name,
            names(&others)
        )),
        _ => return split(folder, &roled, &others),
    }
    if !kids.is_empty() && kids.iter().all(|k| is_split_class(k)) {
        return split_classes(folder, &kids).map(Shape::One);
    }
    let (direct, deep): (Vec<&Folder>, Vec<&Folder>) = kids.iter().partition(|k| !k.pictures.is_empty());
    if direct.is_empty() {
        return Ok(if deep.len() > 1 && deep.iter().all(|k| wraps(k)) {
            Shape::One(classes(folder, &kids, notes)?)
        } else {
            Shape::Unknown
        });
    }
    if let Some(inner) = alike(&kids).filter(|_| deep.is_empty()) {
        return Err(format!(
            "{}: pictures lie right in {}, and each holds folders for {inner}: it is not clear whether they are domains or classes: move \
             those pictures away, or those folders; {LAYOUTS}",
            folder.path.display(),
            names(&direct)
        ));
    }
    if let Some(mixed) = mixed(&direct, &deep) {
        return if mixed == Mixed::Domains { Ok(Shape::Unknown) } else { Err(unclear(folder, &direct, &deep)) };
    }
    notes.extend(deep.iter().map(|k| taken_whole(k)));
    Ok(Shape::One(classes(folder, &kids, notes)?))
}

/// A note of a class whose pictures all lie in folders of its own.
fn taken_whole(class: &Folder) -> String {
    let (all, inner) = (class.all_pictures().len(), class.kids());
    format!("{}: the {all} picture(s) in its folders ({}) are taken for the class {}", class.path.display(), names(&inner), class.name)
}

/// Whether a folder holds nothing but one folder of pictures whose name says nothing: CLASS/images/PICTURE.
fn wraps(class: &Folder) -> bool {
    matches!(class.kids()[..], [one] if one.kids().is_empty() && WRAPPERS.contains(&one.name.to_lowercase().as_str()))
}

/// Pictures right in some folders, and in folders below others.
fn unclear(folder: &Folder, direct: &[&Folder], deep: &[&Folder]) -> String {
    format!(
        "{}: pictures lie right in {}, but in folders below {}: it is not clear which are classes and which are domains; {LAYOUTS}",
        folder.path.display(),
        names(direct),
        names(deep)
    )
}

/// Two folders whose names differ only in the role in them, as `seg_train` and `seg_test` do.
fn hidden_splits<'a>(kids: &[&'a Folder]) -> Option<Vec<&'a Folder>> {
    let mut seen: Vec<(&Folder, Role, String)> = Vec::new();
    for kid in kids.iter().filter(|kid| Role::of(&kid.name).is_none()) {
        let Some((role, rest)) = Role::within(&kid.name) else { continue };
        if let Some((other, ..)) = seen.iter().find(|(_, other, of)| *other != role && *of == rest) {
            return Some(vec![other, kid]);
        }
        seen.push((kid, role, rest));
    }
    None
}

/// The names of the folders in several folders, where they are the same, and more than one.
fn alike(folders: &[&Folder]) -> Option<String> {
    let inner: Vec<BTreeSet<String>> = folders.iter().map(|f| inner_names(f)).collect();
    // Splits are refused as such.
    let same = same(&inner) && !inner[0].iter().any(|name| Role::of(name).is_some());
    same.then(|| few(&inner[0].iter().collect::<Vec<_>>()))
}

/// Whether these sets, at least two, hold the same names, at least two.
fn same(sets: &[BTreeSet<String>]) -> bool {
    sets.len() > 1 && sets[0].len() > 1 && sets.iter().all(|names| *names == sets[0])
}

/// What folders of pictures beside folders of folders are.
#[derive(PartialEq)]
enum Mixed {
    /// Domains, and one that is none.
    Domains,
    /// Nobody knows.
    Unclear,
}

/// `None` where all of them are classes.
fn mixed(direct: &[&Folder], deep: &[&Folder]) -> Option<Mixed> {
    let has_split = |k: &&Folder| k.kids().iter().any(|inner| Role::of(&inner.name).is_some());
    let inner: Vec<BTreeSet<String>> = deep.iter().map(|k| inner_names(k)).collect();
    let outer: BTreeSet<String> = direct.iter().map(|k| k.name.clone()).collect();
    let shared = inner.iter().enumerate().any(|(i, a)| inner[..i].iter().any(|b| !a.is_disjoint(b)));
    match () {
        () if deep.is_empty() => None,
        () if same(&inner) && direct.len() == 1 => Some(Mixed::Domains),
        () if deep.iter().any(has_split) || shared || inner.iter().any(|names| !names.is_disjoint(&outer)) => Some(Mixed::Unclear),
        () if direct.len() == 1 && inner.iter().any(|names| names.len() > 1) => Some(Mixed::Unclear),
        () => None,
    }
}

/// A domain whose folders are its classes.
fn classes(folder: &Folder, kids: &[&Folder], notes: Vec<String>) -> Result<Plan, String> {
    // The splits would be lost: what is kept for testing would be trained on.
    if let Some(kid) = kids.iter().find(|kid| kid.kids().iter().any(|inner| Role::of(&inner.name).is_some())) {
        return Err(format!(
            "{}: found splits ({}) beside other pictures or folders: move these into one of the splits, or away; {LAYOUTS}",
            kid.path.display(),
            names(&kid.kids())
        ));
    }
    let mut plan = Plan { notes, ..Plan::of(folder) };
    plan.leave_rest(folder)?;
    kids.iter().for_each(|kid| plan.add(&kid.name, Role::Train, kid));
    plan.check_classes(&[folder])?;
    Ok(plan.done())
}

/// Whether a folder holds nothing but splits, and these nothing but pictures.
fn is_split_class(folder: &Folder) -> bool {
    let kids = folder.kids();
    folder.pictures.is_empty() && !kids.is_empty() && kids.iter().all(|k| Role::of(&k.name).is_some() && k.kids().is_empty())
}

/// `CLASS/SPLIT/PICTURE`
fn split_classes(folder: &Folder, kids: &[&Folder]) -> Result<Plan, String> {
    let mut plan = Plan::of(folder);
    plan.leave_rest(folder)?;
    for class in kids {
        plan.leave_rest(class)?;
        for split in class.kids() {
            if let Some(role) = Role::of(&split.name) {
                plan.add(&class.name, role, split);
            }
        }
    }
    plan.trains = true;
    plan.check_classes(&[folder])?;
    if !plan.pictures.iter().any(|p| p.role == Role::Train) {
        return Err(no_training(folder, &kids[0].kids()));
    }
    Ok(plan.done())
}

/// `SPLIT/CLASS/PICTURE` or `SPLIT/DOMAIN/CLASS/PICTURE`
fn split(folder: &Folder, roled: &[&Folder], others: &[&Folder]) -> Result<Shape, String> {
    let at = folder.path.display();
    let flat: Vec<&Folder> = roled.iter().copied().filter(|k| k.kids().is_empty()).collect();
    if flat.len() == roled.len() && others.iter().any(|k| k.kids().is_empty()) {
        return Err(format!(
            "{at}: {} have the names of splits and hold pictures, as {} do: it is not clear which are classes; {LAYOUTS}",
            names(roled),
            names(others)
        ));
    }
    if !flat.is_empty() {
        return Err(format!(
            "{at}: found no class folders in {}: put the pictures of each class into a folder of its own there; {LAYOUTS}",
            names(&flat)
        ));
    }
    let mut parts: BTreeMap<Role, &Folder> = BTreeMap::new();
    for kid in roled {
        let Some(role) = Role::of(&kid.name) else { continue };
        if let Some(other) = parts.insert(role, kid) {
            return Err(format!("{at}: {} and {} are both for the same split: put them into one folder", other.name, kid.name));
        }
    }
    if !parts.contains_key(&Role::Train) {
        return Err(no_training(folder, roled));
    }
    let deep = others.iter().any(|k| !k.kids().is_empty());
    if deep || (parts.len() == 1 && !others.is_empty()) {
        return Err(format!(
            "{at}: found {} with the names of splits, and {} beside: put the splits of each domain into a folder of its own; {LAYOUTS}",
            names(roled),
            names(others)
        ));
    }
    let mut rest = Plan::of(folder);
    rest.leave_rest(folder)?;
    rest.left.extend(others.iter().flat_map(|k| k.left_whole(Why::Beside)));
    let mut parts: Vec<(Role, &Folder)> = parts.into_iter().collect();
    for (role, part) in &mut parts {
        // An archive unpacked into a folder of its name: train/train/… or train/seg_train/…
        while let [one] = part.kids()[..]
            && Role::within(&one.name).is_some_and(|(inner, _)| inner == *role)
            && !one.kids().is_empty()
        {
            rest.leave_rest(part)?;
            *part = one;
        }
        rest.leave_rest(part)?;
    }
    if parts.iter().any(|(_, part)| part.kids().iter().any(|k| k.kids().iter().any(|inner| Role::of(&inner.name).is_some()))) {
        return Err(format!("{at}: there are splits within splits: keep one level of them; {LAYOUTS}"));
    }
    match splits_hold_domains(folder, &parts)? {
        false => {
            for (role, part) in &parts {
                let (direct, deep): (Vec<&Folder>, Vec<&Folder>) = part.kids().into_iter().partition(|k| !k.pictures.is_empty());
                if !direct.is_empty() && mixed(&direct, &deep).is_some() {
                    return Err(unclear(part, &direct, &deep));
                }
                rest.notes.extend(deep.iter().filter(|k| !wraps(k)).map(|k| taken_whole(k)));
                part.kids().into_iter().for_each(|class| rest.add(&class.name, *role, class));
            }
            rest.check_classes(&parts.iter().map(|(_, part)| *part).collect::<Vec<_>>())?;
            rest.trains = true;
            let of = |role| rest.pictures.iter().filter(|p| p.role == role).map(|p| p.class.as_str()).collect::<BTreeSet<_>>();
            let train = of(Role::Train);
            if let Some(other) = [Role::Validation, Role::Test].map(of).iter().find(|o| !o.is_empty() && o.is_disjoint(&train)) {
                let [train, other] = [&train, other].map(|names| few(&names.iter().collect::<Vec<_>>()));
                return Err(format!(
                    "{at}: the classes for training are {train}, but there is a split with {other}: give them the same names"
                ));
            }
            Ok(Shape::One(rest.done()))
        }
        true => {
            let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
            let mut folders: BTreeMap<String, Vec<&Folder>> = BTreeMap::new();
            for (role, part) in parts {
                for domain in part.kids() {
                    let plan = plans.entry(domain.name.clone()).or_insert_with(|| Plan::of(domain));
                    plan.leave_rest(domain)?;
                    domain.kids().into_iter().for_each(|class| plan.add(&class.name, role, class));
                    folders.entry(domain.name.clone()).or_default().push(domain);
                }
            }
            plans.iter().try_for_each(|(name, plan)| plan.check_classes(&folders[name]))?;
            if let Some(plan) = plans.values().find(|plan| plan.pictures.iter().all(|p| p.role != Role::Train)) {
                return Err(format!("{at}: the domain {} has no pictures in train: put them there; {LAYOUTS}", plan.name));
            }
            // Paths in its note begin with the split.
            let plans = plans.into_values().map(|plan| Plan { path: folder.path.clone(), trains: true, ..plan }.done()).collect();
            Ok(Shape::Many(plans, rest.left))
        }
    }
}

/// Whether the folders in the splits are domains with classes of the same names, rather than classes.
fn splits_hold_domains(folder: &Folder, parts: &[(Role, &Folder)]) -> Result<bool, String> {
    let mut inner: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut direct = false;
    for kid in parts.iter().flat_map(|(_, part)| part.kids()) {
        direct |= !kid.pictures.is_empty();
        inner.entry(kid.name.clone()).or_default().extend(inner_names(kid));
    }
    let found = few(&inner.keys().collect::<Vec<_>>());
    let sets: Vec<BTreeSet<String>> = inner.into_values().collect();
    if direct && !same(&sets) {
        return Ok(false);
    }
    if direct {
        return Err(format!(
            "{}: in its splits, pictures lie right in {} beside folders of the same names: it is not clear whether they are domains or \
             classes: move those pictures away, or those folders; {LAYOUTS}",
            folder.path.display(),
            found
        ));
    }
    if sets.iter().enumerate().all(|(i, a)| sets[..i].iter().all(|b| a.is_disjoint(b))) {
        // Domains of different classes, which are refused by name. One folder alone would be the only class.
        return Ok(sets.iter().any(|set| set.len() > 1));
    }
    if sets.iter().all(|set| *set == sets[0]) {
        return Ok(sets[0].len() > 1);
    }
    Err(format!(
        "{}: in its splits, {} hold folders of partly the same names: it is not clear whether they are domains or classes; {LAYOUTS}",
        folder.path.display(),
        found
    ))
}

fn no_training(folder: &Folder, found: &[&Folder]) -> String {
    format!(
        "{}: it holds {} and no train/: put the pictures for training into a folder of that name; {LAYOUTS}",
        folder.path.display(),
        names(found)
    )
}

fn inner_names(folder: &Folder) -> BTreeSet<String> {
    folder.kids().iter().map(|k| k.name.clone()).collect()
}

fn names(folders: &[&Folder]) -> String {
    few(&folders.iter().map(|f| format!("{}/", f.name)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::super::tree::note;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join("set").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"not decoded").unwrap();
        }
        dir
    }

    fn read(dir: &tempfile::TempDir) -> Result<(Vec<Plan>, Vec<Left>), String> {
        let Layout { plans, left, refused, .. } = layout(&Folder::scan(&dir.path().join("set")).unwrap())?;
        refused.into_iter().next().map_or(Ok((plans, left)), |refused| Err(refused.error.to_string()))
    }

    /// Each picture as `domain class role path`, sorted; or the message, without the path of the folder.
    fn told(paths: &[&str]) -> Vec<String> {
        let dir = tree(paths);
        let root = dir.path().join("set");
        match read(&dir) {
            Ok((plans, _)) => {
                let of = |plan: &Plan, p: &Picture| {
                    format!("{} {} {:?} {}", plan.name, p.class, p.role, p.path.strip_prefix(&root).unwrap().display())
                };
                plans.iter().flat_map(|plan| plan.pictures.iter().map(|p| of(plan, p)).collect::<Vec<_>>()).collect()
            }
            Err(message) => vec![message.replace(root.to_str().unwrap(), "SET").replace(LAYOUTS, "LAYOUTS")],
        }
    }

    #[test]
    fn splits_are_never_lost_by_what_lies_beside_them() {
        let refused = |paths: &[&str], words: &str| {
            let said = told(paths);
            assert!(said.len() == 1 && said[0].contains(words) && said[0].contains("LAYOUTS"), "{paths:?}: {said:?}");
        };
        let classes = |domain: &str| ["cat", "dog"].map(|c| ["train", "test"].map(|s| format!("{domain}{c}/{s}/0.png"))).concat();
        let with = |paths: &[Vec<String>], more: &[&str]| -> Vec<String> {
            paths.iter().flatten().cloned().chain(more.iter().map(|m| (*m).to_owned())).collect()
        };
        let check = |paths: Vec<String>, words: &str| refused(&paths.iter().map(String::as_str).collect::<Vec<_>>(), words);
        check(with(&[classes("a/"), classes("b/")], &["b/dog/train/sub/0.png"]), "found splits");
        check(with(&[classes("a/"), classes("b/")], &["b/dog/extra/0.png"]), "found splits");
        check(with(&[classes("")], &["cat/a.png", "dog/a.png"]), "found splits");
        let domains = ["photo/cat/0.png", "photo/dog/0.png", "sketch/cat/0.png", "sketch/dog/0.png"];
        refused(&[&domains[..], &["photo/a.png", "sketch/a.png"]].concat(), "whether they are domains or classes");
        let split: Vec<String> = ["train", "test"].iter().flat_map(|s| domains.map(|d| format!("{s}/{d}"))).collect();
        check(with(&[split], &["train/photo/preview.png"]), "whether they are domains or classes");
        refused(
            &["seg_train/cat/0.png", "seg_train/dog/0.png", "seg_test/cat/0.png", "seg_test/dog/0.png", "seg_pred/0.png"],
            "seg_test/, seg_train/ look like the splits of one data set",
        );
        refused(&["trainA/0.png", "trainB/0.png", "testA/0.png", "testB/0.png"], "look like the splits of one data set");
        refused(&["TrainData/cat/0.png", "TestData/cat/0.png"], "look like the splits of one data set");
    }

    #[test]
    fn splits_are_taken_at_every_level_and_in_any_letter_case() {
        assert_eq!(
            told(&["Train/cat/0.png", "Train/dog/0.png", "TEST/cat/1.png", "Valid/dog/2.png"]),
            [
                "set cat Train Train/cat/0.png",
                "set cat Test TEST/cat/1.png",
                "set dog Train Train/dog/0.png",
                "set dog Validation Valid/dog/2.png"
            ]
        );
        assert_eq!(
            told(&["pets/training/cat/0.png", "pets/validation/cat/1.png", "cars/train/cat/0.png", "cars/testing/cat/3.png"]),
            [
                "cars cat Train cars/train/cat/0.png",
                "cars cat Test cars/testing/cat/3.png",
                "pets cat Train pets/training/cat/0.png",
                "pets cat Validation pets/validation/cat/1.png"
            ]
        );
        assert_eq!(
            told(&["cat/train/0.png", "cat/test/1.png", "dog/train/0.png"]),
            ["set cat Train cat/train/0.png", "set cat Test cat/test/1.png", "set dog Train dog/train/0.png"]
        );
        assert_eq!(
            told(&[
                "train/a/cat/0.png",
                "train/a/dog/0.png",
                "train/b/cat/0.png",
                "train/b/dog/0.png",
                "test/a/cat/1.png",
                "test/a/dog/1.png"
            ]),
            [
                "a cat Train train/a/cat/0.png",
                "a cat Test test/a/cat/1.png",
                "a dog Train train/a/dog/0.png",
                "a dog Test test/a/dog/1.png",
                "b cat Train train/b/cat/0.png",
                "b dog Train train/b/dog/0.png"
            ]
        );
        assert_eq!(
            told(&["train/seg_train/cat/0.png", "train/seg_train/dog/0.png", "test/seg_test/cat/1.png", "test/seg_test/dog/1.png"]),
            [
                "set cat Train train/seg_train/cat/0.png",
                "set cat Test test/seg_test/cat/1.png",
                "set dog Train train/seg_train/dog/0.png",
                "set dog Test test/seg_test/dog/1.png"
            ]
        );
        assert_eq!(
            told(&["train/x/cat/0.png", "train/x/dog/0.png", "test/y/cat/1.png", "test/y/dog/1.png"]),
            ["SET: the domain y has no pictures in train: put them there; LAYOUTS"]
        );
        assert_eq!(
            told(&["train/train/cat/0.png", "test/cat/1.png"]),
            ["set cat Train train/train/cat/0.png", "set cat Test test/cat/1.png"]
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let one = |paths: &[&str]| told(paths).join("|");
        assert_eq!(
            one(&["training_set/cat/0.png", "test_set/cat/1.png"]),
            "SET: test_set/, training_set/ look like the splits of one data set: rename them to train, val and test; LAYOUTS"
        );
        assert_eq!(
            one(&["train/0.png", "test/1.png"]),
            "SET: found no class folders in test/, train/: put the pictures of each class into a folder of its own there; LAYOUTS"
        );
        assert_eq!(
            one(&["train/cat/0.png", "train/dog/0.png", "test/1.png"]),
            "SET: found no class folders in test/: put the pictures of each class into a folder of its own there; LAYOUTS"
        );
        assert_eq!(
            one(&["test/cat/0.png", "val/cat/0.png"]),
            "SET: it holds test/, val/ and no train/: put the pictures for training into a folder of that name; LAYOUTS"
        );
        assert_eq!(
            one(&["cat/0.png", "dog/0.png", "more/cat/0.png"]),
            "SET: pictures lie right in cat/, dog/, but in folders below more/: it is not clear which are classes and which are domains; LAYOUTS"
        );
        assert_eq!(
            one(&["train/cat/0.png", "test/cat/0.png", "photo/cat/0.png"]),
            "SET: found test/, train/ with the names of splits, and photo/ beside: put the splits of each domain into a folder of its own; LAYOUTS"
        );
        assert_eq!(
            one(&["train/cat/0.png", "train/dog/0.png", "val/images/0.png"]),
            "SET: the classes for training are cat, dog, but there is a split with images: give them the same names"
        );
        assert_eq!(
            one(&["train/cat/0.png", "Training/dog/0.png"]),
            "SET: Training and train are both for the same split: put them into one folder"
        );
        assert_eq!(
            one(&["cat/0.png", "fish/0.gif"]),
            "SET/fish: there is no readable picture (found 0.gif): put PNG, JPEG, WebP or BMP pictures there, or remove the folder"
        );
        assert_eq!(
            one(&["inner/a/cat/0.png", "inner/a/dog/0.png", "inner/b/cat/0.png", "inner/b/dog/0.png"]),
            "SET/inner: the data set begins one level further down: give --data-dir SET/inner"
        );
    }

    #[test]
    fn a_class_without_a_picture_is_refused() {
        let text = "there is no readable picture (found a.txt): put PNG, JPEG, WebP or BMP pictures there, or remove the folder";
        let hidden = "there is no readable picture (found .gitkeep): put PNG, JPEG, WebP or BMP pictures there, or remove the folder";
        let dir = tree(&["cat/0.png", "dog/0"]);
        fs::write(dir.path().join("set/dog/0"), b"\x89PNG\r\n\x1a\n....").unwrap();
        let ending =
            "set/dog: its pictures (0) have no ending such as .png or .jpg, and only files with one are read: add it to their names";
        assert!(read(&dir).unwrap_err().ends_with(ending));
        let domains = ["p/cat/0.png", "p/dog/0.png", "q/cat/0.png", "q/dog/0.png"];
        assert_eq!(told(&["cat/0.png", "dog/0.png", "emu/a.txt"]), [format!("SET/emu: {text}")]);
        assert_eq!(told(&["cat/0.png", "dog/0.png", "emu/.gitkeep"]), [format!("SET/emu: {hidden}")]);
        assert_eq!(told(&[&domains[..], &["q/emu/a.txt"]].concat()), [format!("SET/q/emu: {text}")]);
        assert_eq!(told(&["train/cat/0.png", "train/emu/a.txt", "test/cat/0.png"]), [format!("SET/train/emu: {text}")]);
        assert_eq!(told(&["cat/train/0.png", "cat/test/0.png", "emu/train/a.txt"]), [format!("SET/emu: {text}")]);
        let split: Vec<String> = ["train", "test"].iter().flat_map(|s| domains.map(|d| format!("{s}/{d}"))).collect();
        let split: Vec<&str> = split.iter().map(String::as_str).chain(["test/p/emu/a.txt"]).collect();
        assert_eq!(told(&split), [format!("SET/test/p/emu: {text}")]);
        // Its pictures may be in another split, and what lies beside domains and splits is no class.
        assert_eq!(told(&["train/cat/0.png", "train/dog/0.png", "val/cat/1.png", "val/dog/.gitkeep"]).len(), 3);
        assert_eq!(told(&[&domains[..], &["docs/a.txt"]].concat()).len(), 4);
        assert_eq!(told(&["train/cat/0.png", "test/cat/0.png", "docs/a.txt"]).len(), 2);
    }

    #[test]
    fn a_folder_that_holds_one_folder_alone_is_passed_through() {
        let both = |domain: &str| ["cat", "dog"].map(|class| format!("{domain}/{class}/0.png"));
        let read = |paths: &[[String; 2]]| told(&paths.iter().flatten().map(String::as_str).collect::<Vec<_>>());
        let of = |name: &str, domain: &str| ["cat", "dog"].map(|class| format!("{name} {class} Train {domain}/{class}/0.png"));
        let (art, photo, deep) = (of("art", "art/images"), of("photo", "photo"), of("deep", "deep/a/b"));
        assert_eq!(read(&[both("art/images"), both("photo")]), [art.clone(), photo].concat());
        assert_eq!(read(&[both("art/images"), both("deep/a/b")]), [art, deep].concat());
        let dir = tree(&["art/images/cat/0.png", "art/images/dog/0.png", "art/about.txt", "art/images/list.txt"]);
        let left: Vec<_> = super::tests::read(&dir).unwrap().0[0].left.iter().map(|l| l.path.clone()).collect();
        let root = dir.path().join("set/art");
        assert_eq!(left, [root.join("images/list.txt"), root.join("about.txt")]);
        // With splits below.
        assert_eq!(
            told(&["art/images/train/cat/0.png", "art/images/test/cat/1.png", "photo/train/cat/0.png"]),
            ["art cat Train art/images/train/cat/0.png", "art cat Test art/images/test/cat/1.png", "photo cat Train photo/train/cat/0.png"]
        );
    }

    #[test]
    fn splits_above_change_nothing_of_what_folders_in_them_are() {
        let split =
            |paths: &[&str]| ["train", "test"].iter().flat_map(|s| paths.iter().map(move |p| format!("{s}/{p}"))).collect::<Vec<_>>();
        let read = |paths: &[&str]| {
            let dir = tree(&split(paths).iter().map(String::as_str).collect::<Vec<_>>());
            let root = dir.path().join("set");
            let show = |text: String| text.replace(root.to_str().unwrap(), "SET").replace(LAYOUTS, "LAYOUTS");
            match layout(&Folder::scan(&root).unwrap()) {
                Ok(layout) => layout
                    .plans
                    .iter()
                    .flat_map(|p| [vec![format!("{}: {}", p.name, p.classes().join(", "))], p.notes.clone()].concat())
                    .map(show)
                    .collect(),
                Err(message) => vec![show(message)],
            }
        };
        let domains = ["photo/cat/0.png", "photo/dog/0.png", "sketch/house/0.png", "sketch/tree/0.png"];
        assert_eq!(read(&domains), ["photo: cat, dog", "sketch: house, tree"]);
        assert_eq!(read(&["animal/cat/0.png", "animal/dog/0.png", "plant/rose/0.png"]), ["animal: cat, dog", "plant: rose"]);
        assert_eq!(
            read(&["cat/0.png", "dog/0.png", "emu/old/0.png", "emu/new/0.png"]),
            [
                "set: cat, dog, emu",
                "SET/train/emu: the 2 picture(s) in its folders (new/, old/) are taken for the class emu",
                "SET/test/emu: the 2 picture(s) in its folders (new/, old/) are taken for the class emu"
            ]
        );
        assert_eq!(
            read(&["photo/cat/0.png", "photo/dog/0.png", "sketch/cat/0.png", "sketch/dog/0.png", "preview/0.png"]),
            [
                "SET/train: pictures lie right in preview/, but in folders below photo/, sketch/: it is not clear which are classes and which \
                 are domains; LAYOUTS"
            ]
        );
        assert_eq!(read(&["cat/images/0.png", "dog/Photos/0.png"]), ["set: cat, dog"]);
    }

    #[test]
    fn folders_that_may_be_splits_are_named() {
        let notes = |paths: &[&str]| {
            let dir = tree(paths);
            let root = dir.path().join("set");
            let Layout { plans, notes, .. } = layout(&Folder::scan(&root).unwrap()).unwrap();
            let all = plans.into_iter().flat_map(|plan| plan.notes).chain(notes);
            all.map(|note| note.replace(root.to_str().unwrap(), "SET")).collect::<Vec<_>>()
        };
        let both = |domain: &str| [format!("{domain}/cat/0.png"), format!("{domain}/dog/0.png")];
        let of =
            |domains: &[&str]| notes(&domains.iter().flat_map(|d| both(d)).collect::<Vec<_>>().iter().map(|p| &p[..]).collect::<Vec<_>>());
        assert_eq!(
            of(&["photo", "photo_test", "sketch"]),
            [
                "SET: photo/ and photo_test/ are taken for domains; if photo_test/ is the test split of photo/, move them to photo/train/ and \
                 photo/test/"
            ]
        );
        assert_eq!(
            notes(&["photo/0.png", "valPhoto/0.png"]),
            ["SET: photo/ and valPhoto/ are taken for classes; if valPhoto/ is the val split of photo/, move them to photo/train/ and \
                 photo/val/"]
        );
        assert_eq!(
            of(&["tr", "TE"]),
            ["SET: TE/, tr/ are taken for domains; if they are splits of one data set, rename them to train, val and test"]
        );
        assert_eq!(of(&["photo", "sketch", "te"]), [""; 0]);
    }

    #[test]
    fn pictures_at_any_depth_are_their_classs() {
        assert_eq!(
            told(&["cat/0.png", "cat/sub/deep/1.JFIF", "dog/0.webp", "dog/1.bmp"]),
            ["set cat Train cat/0.png", "set cat Train cat/sub/deep/1.JFIF", "set dog Train dog/0.webp", "set dog Train dog/1.bmp"]
        );
        assert_eq!(told(&["cat/images/0.png", "dog/images/0.png"]), ["set cat Train cat/images/0.png", "set dog Train dog/images/0.png"]);
        // A class may have the name of a split.
        let dir = tree(&["car/0.png", "train/0.png"]);
        let (plans, _) = read(&dir).unwrap();
        assert_eq!(plans[0].classes(), ["car", "train"]);
        let root = dir.path().join("set");
        let said = format!("{}: train is taken for a class, because it holds pictures right beside those of car/", root.display());
        assert_eq!(plans[0].notes, [said]);
    }

    #[test]
    fn everything_else_is_counted_in_one_line() {
        let dir = tree(&[
            "cat/0.png",
            "cat/._0.png",
            "cat/desktop.ini",
            "dog/0.png",
            "dog/1.gif",
            ".ipynb_checkpoints/x.png",
            "__MACOSX/cat/._0.png",
            "Thumbs.db",
            "loose.png",
            "cat/a.txt",
        ]);
        let root = dir.path().join("set");
        fs::create_dir(root.join("bird")).unwrap();
        fs::write(root.join("cat/3"), b"\x89PNG\r\n\x1a\n....").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/nowhere/1.png", root.join("cat/1.png")).unwrap();
            std::os::unix::fs::symlink("..", root.join("cat/up")).unwrap();
        }
        let (plans, left) = read(&dir).unwrap();
        assert_eq!((plans[0].classes(), plans[0].pictures.len(), left.len()), (vec!["cat".into(), "dog".into()], 2, 0));
        #[cfg(unix)]
        assert_eq!(
            note("set", &root, &plans[0].left).unwrap(),
            "set: 12 left out: 2 hidden (.ipynb_checkpoints/x.png, cat/._0.png); 3 made by the operating system (Thumbs.db, \
             __MACOSX/cat/._0.png, cat/desktop.ini); 1 link to a missing file (cat/1.png); 1 link to a folder above it (cat/up); \
             1 picture in another format than PNG, JPEG, WebP or BMP (dog/1.gif); 1 picture without a picture's ending such as .png or .jpg \
             (cat/3); 1 picture outside the class folders (loose.png); 1 empty folder (bird); 1 not a picture (cat/a.txt)"
        );
    }

    #[test]
    fn several_of_a_kind_are_counted_in_the_plural() {
        let dir = tree(&["cat/0.png", "dog/0.png", "dog/1.gif", "dog/2.tif", "1.png", "2.png", "a.txt", "b.txt", "dog/3", "dog/4"]);
        let root = dir.path().join("set");
        ["x", "y"].iter().for_each(|f| fs::create_dir(root.join(f)).unwrap());
        ["dog/3", "dog/4"].iter().for_each(|f| fs::write(root.join(f), b"\x89PNG\r\n\x1a\n....").unwrap());
        assert_eq!(
            note("set", &root, &read(&dir).unwrap().0[0].left).unwrap(),
            "set: 10 left out: 2 pictures in other formats than PNG, JPEG, WebP or BMP (dog/1.gif, dog/2.tif); 2 pictures without a picture's \
             ending such as .png or .jpg (dog/3, dog/4); 2 pictures outside the class folders (1.png, 2.png); 2 empty folders (x, y); 2 not \
             pictures (a.txt, b.txt)"
        );
    }

    #[test]
    fn names_are_compared_in_their_composed_form() {
        let dir = tree(&["a/caf\u{e9}/0.png", "a/dog/0.png", "b/cafe\u{301}/0.png", "b/dog/0.png"]);
        let (plans, _) = read(&dir).unwrap();
        assert_eq!(plans[0].classes(), ["caf\u{e9}", "dog"]);
        assert_eq!(plans[0].classes(), plans[1].classes());
    }

    const FOLDERS: [&str; 9] = ["train", "Test", "val", "cat", "dog", "photo", ".x", "__MACOSX", "images"];

    /// All files below `dir` with the ending of a picture.
    fn pictures_in(dir: &Path, all: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            match entry.is_dir() {
                true => pictures_in(&entry, all),
                false if entry.extension().is_some_and(|e| e == "png") => drop(all.insert(entry)),
                false => {}
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn every_picture_is_used_or_left_out_by_name(
            paths in prop::collection::vec(prop::collection::vec(prop::sample::select(FOLDERS.to_vec()), 0..4), 1..9),
            names in prop::collection::vec(prop::sample::select(vec!["0.png", "1.png", "._0.png", "a.txt", "b.gif"]), 9),
        ) {
            let joined = |(folders, name): (&Vec<&str>, &str)| folders.iter().chain([&name]).copied().collect::<Vec<_>>().join("/");
            let paths: Vec<String> = paths.iter().zip(names).map(joined).collect();
            let dir = tree(&paths.iter().map(String::as_str).collect::<Vec<_>>());
            match read(&dir) {
                Ok((plans, left)) => {
                    let mut all = BTreeSet::new();
                    pictures_in(&dir.path().join("set"), &mut all);
                    let is_picture = |p: &PathBuf| p.extension().is_some_and(|e| e == "png");
                    let mut seen: Vec<PathBuf> = plans.iter().flat_map(|p| p.pictures.iter().map(|p| p.path.clone())).collect();
                    seen.extend(plans.iter().flat_map(|p| &p.left).chain(&left).map(|l| l.path.clone()).filter(is_picture));
                    let count = seen.len();
                    let seen: BTreeSet<PathBuf> = seen.into_iter().collect();
                    prop_assert_eq!(count, seen.len(), "one is counted twice");
                    prop_assert_eq!(seen, all);
                    for plan in &plans {
                        prop_assert!(plan.pictures.iter().any(|p| p.role == Role::Train), "{:?}", plan);
                    }
                }
                Err(message) => prop_assert!(!message.contains('\n') && message.contains("set"), "{}", message),
            }
        }
    }
}
