//! A letter as plain text.

use jiff::tz::TimeZone;

use super::{IN_FULL, facts, footer};
use crate::notify::letter::{Contents, Letter};

/// The whole letter.
pub(in crate::notify) fn letter(letter: &Letter, zone: &TimeZone) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    match &letter.contents {
        Contents::Test => say("This is a test: notifications of Kronos arrive here."),
        Contents::Ping(ping) => say(&ping.text),
        Contents::Notices(notices) => {
            for (n, notice) in notices.iter().enumerate() {
                if n < IN_FULL {
                    if n > 0 {
                        say("");
                    }
                    say(&notice.title);
                    for (name, said) in facts(notice, zone) {
                        say(&format!("  {name}: {}", said.replace('\n', "\n    ")));
                    }
                } else {
                    if n == IN_FULL {
                        say("\nBesides:");
                    }
                    say(&format!("- {}", notice.title));
                }
            }
        }
    }
    say("\n-- ");
    for line in footer(letter) {
        say(&line);
    }
    text
}
