//! A letter as HTML that mail programs show: no script, no image, nothing from elsewhere.

use jiff::tz::TimeZone;

use super::{IN_FULL, facts, footer, subject};
use crate::notify::letter::{Contents, Letter};
use crate::notify::occasion::Severity;

const HEADING: &str = "<h3 style=\"margin:16px 0 4px;padding-left:8px;border-left:4px solid ";
const ROW: &str = "<tr><td style=\"color:#666;vertical-align:top;padding:1px 12px;white-space:nowrap\">";

/// The whole letter.
pub(in crate::notify) fn letter(letter: &Letter, zone: &TimeZone) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body style=\"font-family:sans-serif;font-size:14px;color:#222;background:#fff\">\n",
        escape(&subject(letter))
    );
    match &letter.contents {
        Contents::Test => html.push_str("<p>This is a test: notifications of Kronos arrive here.</p>\n"),
        Contents::Ping(ping) => html.extend(["<pre>", &escape(&ping.text), "</pre>\n"]),
        Contents::Notices(notices) => {
            for notice in notices.iter().take(IN_FULL) {
                let (color, title) = (color(notice.severity), escape(&notice.title));
                html.extend([HEADING, color, "\">", &title, "</h3>\n<table>\n"]);
                for (name, said) in facts(notice, zone) {
                    html.extend([ROW, name, "</td><td>", &escape(&said), "</td></tr>\n"]);
                }
                html.push_str("</table>\n");
            }
            if notices.len() > IN_FULL {
                html.push_str("<p>Besides:</p>\n<ul>\n");
                for notice in &notices[IN_FULL..] {
                    html.extend(["<li>", &escape(&notice.title), "</li>\n"]);
                }
                html.push_str("</ul>\n");
            }
        }
    }
    html.push_str("<p style=\"color:#666;font-size:12px\">");
    html.push_str(&footer(letter).iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br>"));
    html.push_str("</p>\n</body></html>\n");
    html
}

fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "#2e7d32",
        Severity::Warning => "#f9a825",
        Severity::Error => "#c62828",
        Severity::Critical => "#6a1b9a",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "<br>")
}
