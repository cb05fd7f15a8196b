//! The attribute that makes a function a test of the harness of `smtp-filter-testkit`. It takes the place of the one of
//! the language in a test program that says `#[macro_use] extern crate smtp_filter_testkit;`.

use proc_macro::{Ident, TokenStream, TokenTree};

/// A test. What it needs is named in brackets, functions of `smtp_filter_testkit::need`: where one of them is missing,
/// the test is reported as ignored, with the reason. Of the other two words `alone` says that nothing may run beside
/// it, and `long` that it takes long: it begins early, lest everything wait for it in the end.
///
/// ```text
/// #[test(root, alone)]
/// fn a_large_mail_passes_as_fast() -> Result<()> {
/// ```
#[proc_macro_attribute]
pub fn test(needs: TokenStream, function: TokenStream) -> TokenStream {
    expand(needs, function).unwrap_or_else(|fault| format!("::core::compile_error!({fault:?});").parse().expect("Rust"))
}

fn expand(needs: TokenStream, function: TokenStream) -> Result<TokenStream, String> {
    let name = name(&function).ok_or("a test is a function")?;
    let words = words(needs)?;
    let [alone, long] = ["alone", "long"].map(|flag| words.iter().any(|word| word == flag));
    let needs = words.iter().filter(|word| !["alone", "long"].contains(&word.as_str()));
    let needs: String = needs.map(|need| format!("::smtp_filter_testkit::need::{need},")).collect();
    let registered = format!(
        "const _: () = {{
            #[::smtp_filter_testkit::linkme::distributed_slice(::smtp_filter_testkit::TESTS)]
            #[linkme(crate = ::smtp_filter_testkit::linkme)]
            static TEST: ::smtp_filter_testkit::Test = ::smtp_filter_testkit::Test {{
                module: ::core::module_path!(),
                name: \"{name}\",
                needs: &[{needs}],
                alone: {alone},
                long: {long},
                run: || ::smtp_filter_testkit::Ending::end({name}()),
            }};
        }};"
    );
    let registered: TokenStream = registered.parse().map_err(|error| format!("{error}"))?;
    Ok(function.into_iter().chain(registered).collect())
}

/// The word after `fn`.
fn name(function: &TokenStream) -> Option<Ident> {
    let mut tokens = function.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    match tokens.next()? {
        TokenTree::Ident(name) => Some(name),
        _ => None,
    }
}

/// Words, parted by commas.
fn words(list: TokenStream) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for token in list {
        match token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Punct(comma) if comma.as_char() == ',' => {}
            other => return Err(format!("what a test needs is a word, and {other} is none")),
        }
    }
    Ok(words)
}
