//! Contexts, levels and categories as texts.

use ampoule_selinux::{Categories, ContainerContexts, Context, Level, Pair, Part, Problem, Range};
use proptest::prelude::*;

fn categories() -> impl Strategy<Value = Categories> {
    proptest::collection::vec(0..=Categories::MAX, 0..40).prop_map(|all| all.into_iter().collect())
}

fn level() -> impl Strategy<Value = Level> {
    (0..16_u16, categories())
        .prop_map(|(sensitivity, categories)| Level { sensitivity, categories })
}

proptest! {
    #[test]
    fn what_is_printed_is_read(level in level(), extra in categories()) {
        let high = extra.iter().fold(level.categories, Categories::with);
        let high = Level { sensitivity: level.sensitivity + 1, categories: high };
        let range = Range::new(level, high).expect("it dominates");
        let context = Context::new("system_u", "system_r", "container_t", Some(range)).expect("names");
        prop_assert_eq!(context.to_string().parse::<Context>(), Ok(context.clone()));
        let json = serde_json::to_string(&context).expect("a string");
        prop_assert_eq!(serde_json::from_str::<Context>(&json).expect("a context"), context);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(c|s|:|,|\\.|-|0|1|9|u|\\PC){0,30}") {
        if let Ok(context) = text.parse::<Context>() {
            prop_assert_eq!(context.to_string().parse::<Context>(), Ok(context));
        }
        drop((text.parse::<Range>(), text.parse::<Level>(), text.parse::<Categories>()));
    }

    #[test]
    fn pairs_never_dominate_each_other(a in 0..1024_u16, b in 0..1024_u16, c in 0..1024_u16, d in 0..1024_u16) {
        let (Some(one), Some(other)) = (Pair::new(a, b), Pair::new(c, d)) else { return Ok(()) };
        let level = |pair: Pair| Level::of(pair.categories());
        prop_assert_eq!(level(one).dominates(&level(other)), one == other);
        prop_assert_eq!(one.to_string().parse(), Ok(one));
    }
}

#[test]
fn the_kernels_way_to_write_categories() {
    let text = |list: &[u16]| list.iter().copied().collect::<Categories>().to_string();
    assert_eq!(text(&[7, 5, 6]), "c5.c7");
    assert_eq!(text(&[2, 1]), "c1,c2");
    assert_eq!(text(&[0, 1, 2, 9, 11, 12]), "c0.c2,c9,c11,c12");
    assert_eq!(Categories::all().to_string(), "c0.c1023");
    assert_eq!(Categories::all().len(), 1024);
    assert_eq!("c3.c5,c5,c4".parse(), Ok([3, 4, 5].into_iter().collect::<Categories>()));
}

#[test]
fn malformed_contexts() {
    let problem = |text: &str| text.parse::<Context>().expect_err(text);
    for text in ["", "u", "u:r", "nonsense"] {
        assert_eq!(problem(text), Problem::Parts { text: text.to_owned() });
    }
    let name = |part, name: &str| Problem::Name { part, name: name.to_owned() };
    assert_eq!(problem(":r:t"), name(Part::User, ""));
    assert_eq!(problem("u:r r:t"), name(Part::Role, "r r"));
    assert_eq!(problem("u:r:t\0:s0"), name(Part::Type, "t\0"));
    assert_eq!(problem("u:r:t/../x"), name(Part::Type, "t/../x"));
    assert_eq!(problem("u:r:t:x0"), Problem::Sensitivity { text: "x0".into() });
    assert_eq!(problem("u:r:t:s0:c1024"), Problem::Category { text: "c1024".into() });
    assert_eq!(problem("u:r:t:s0:"), Problem::Category { text: String::new() });
    assert_eq!(problem("u:r:t:s0:c01"), Problem::Category { text: "c01".into() });
    assert_eq!(problem("u:r:t:s0:c+1"), Problem::Category { text: "c+1".into() });
    assert_eq!(problem("u:r:t:s0:c5.c2"), Problem::Descending { first: 5, last: 2 });
    assert_eq!(problem("u:r:t:s0:c1-s0").to_string(), "s0 does not dominate s0:c1");
    assert_eq!(problem(&"u".repeat(5000)), Problem::TooLong { bytes: 5000 });
    let long = problem(&format!("u:r:{}", "é".repeat(200)));
    assert_eq!(long, name(Part::Type, &"é".repeat(80)));
}

#[test]
fn composing() {
    let base: Context = "system_u:system_r:container_t:s0".parse().expect("a context");
    let pair = Pair::new(9, 3).expect("two categories");
    let own = base.clone().with_pair(pair);
    assert_eq!(own.to_string(), "system_u:system_r:container_t:s0:c3,c9");
    assert_eq!((own.pair(), base.pair()), (Some(pair), None));
    assert_eq!(own.without_categories(), base);
    let other =
        base.clone().with_user("a").and_then(|c| c.with_role("b")).and_then(|c| c.with_kind("c"));
    assert_eq!(other.expect("names").to_string(), "a:b:c:s0");
    assert!(base.with_kind("").is_err());
    // A policy without levels has none to put categories on.
    let plain: Context = "u:r:t".parse().expect("a context");
    assert_eq!(plain.clone().with_pair(pair), plain);
    assert_eq!((Pair::new(4, 4), Pair::new(0, 1024)), (None, None));
    assert!("c1".parse::<Pair>().is_err() && "c1.c3".parse::<Pair>().is_err());
}

#[test]
fn the_policys_contexts_for_containers() {
    let text =
        "# comment\nprocess = \"a_u:a_r:a_t:s0\"\ncontent=\"x\"\nfile = \"b_u:object_r:b_t:s0\"\n";
    let contexts = ContainerContexts::parse(text).expect("contexts");
    assert_eq!(contexts.process.to_string(), "a_u:a_r:a_t:s0");
    assert_eq!(contexts.read_only_file, ContainerContexts::default().read_only_file);
    let (process, file) = contexts.with_pair(Pair::new(1, 2).expect("two"));
    assert_eq!(process.to_string(), "a_u:a_r:a_t:s0:c1,c2");
    assert_eq!(file.to_string(), "b_u:object_r:b_t:s0:c1,c2");

    let dir = tempfile::tempdir().expect("a directory");
    let standard = ContainerContexts::default();
    assert_eq!(ContainerContexts::below(dir.path()).expect("no policy"), standard);
    let contexts = dir.path().join("some/contexts");
    std::fs::create_dir_all(&contexts).expect("a directory");
    let write = |path: &std::path::Path, text: &str| std::fs::write(path, text).expect("a file");
    write(&dir.path().join("config"), "SELINUX=enforcing\nSELINUXTYPE=some\n");
    assert_eq!(ContainerContexts::below(dir.path()).expect("no file"), standard);
    write(&contexts.join("lxc_contexts"), text);
    let read = ContainerContexts::below(dir.path()).expect("a file");
    assert_eq!(read.process.kind(), "a_t");
    write(&contexts.join("lxc_contexts"), "process = \"half:a\"");
    let error = ContainerContexts::below(dir.path()).expect_err("no context");
    assert_eq!(error.kind(), ampoule_selinux::ErrorKind::Malformed);
    assert!(error.to_string().ends_with("lxc_contexts: \"half:a\" is not user:role:type[:range]"));
    // The newer name of the file counts before the older one, and what it does not say is as by default.
    write(&contexts.join("container_contexts"), "process = \"c_u:c_r:c_t:s0\"\n");
    let read = ContainerContexts::below(dir.path()).expect("a file");
    assert_eq!((read.process.kind(), read.file), ("c_t", standard.file.clone()));
    // A name that would lead out of the directory is none.
    write(&dir.path().join("config"), "SELINUXTYPE=../some\n");
    assert_eq!(ContainerContexts::below(dir.path()).expect("no policy"), standard);
}
