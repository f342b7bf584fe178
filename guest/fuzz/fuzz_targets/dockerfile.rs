//! Any text as a Dockerfile: refused, or stages whose needs end; and as a word, a document, a pattern.
#![no_main]

use cubby_build::{Dockerfile, glob, words};
use libfuzzer_sys::fuzz_target;

/// What a word may grow to, with some air.
const MOST: usize = 2 << 20;

fuzz_target!(|text: &str| {
    if let Ok(file) = Dockerfile::parse(text) {
        assert!(!file.stages.is_empty());
        for stage in 0..file.stages.len() {
            let needed = file.needed(stage, &|stage| stage.base.clone());
            assert!(needed.contains(&stage) && needed.iter().all(|earlier| *earlier <= stage));
        }
    }
    // Each name is worth itself twice: growth by nesting must stay bounded.
    let lookup = |name: &str| (!name.starts_with('u')).then(|| format!("{name}${name}"));
    for escape in ['\\', '`'] {
        let expander = words::Expander { escape, lookup: &lookup };
        for grown in [expander.word(text), expander.document(text)].into_iter().flatten() {
            assert!(grown.len() <= MOST);
        }
        if let Ok(words) = expander.words(text) {
            assert!(words.iter().map(String::len).sum::<usize>() <= MOST);
        }
        words::split(text, escape);
    }
    let (pattern, path) = text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
    glob::matches(pattern, path);
    if !glob::is_pattern(path) && !path.contains('\\') {
        assert!(glob::matches(path, path), "a plain name matches itself");
    }
});
