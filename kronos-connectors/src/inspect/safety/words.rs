//! Words that are looked for among the tokens, whatever the parser makes of them.

use kronos_core::inspect::{Effect, Severity};
use sqlparser::tokenizer::Token;

use super::dialect::Language;
use super::found::{Found, shown};
use super::functions;
use super::tokens::Tokens;

pub(super) fn judge(language: Language, tokens: &Tokens<'_>, found: &mut Found) {
    let meant: Vec<&Token> = tokens.meaning().map(|(_, token)| token).collect();
    for pair in meant.windows(2) {
        match pair {
            [Token::Word(word), Token::LParen] if functions::commands_server(language, &word.value.to_lowercase()) => {
                found.add(
                    Severity::Critical,
                    Effect::Administers,
                    format!("the function {} reads or writes files of the server, or commands it", shown(&word.value)),
                );
            }
            // By some settings it is a name.
            [Token::DoubleQuotedString(_), Token::LParen] => {
                found.not_understood("a text stands where the name of a function would");
            }
            [Token::Word(first), Token::Word(second)] => {
                let is = |word: &sqlparser::tokenizer::Word, text: &str| {
                    word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text)
                };
                if is(first, "into") && (is(second, "outfile") || is(second, "dumpfile")) {
                    found.add(Severity::Critical, Effect::Administers, "INTO OUTFILE writes a file of the server");
                }
            }
            _ => {}
        }
    }
}
