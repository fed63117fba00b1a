//! What is printed where: results on stdout, complaints on stderr, colors only on terminals.

use crate::excerpt;
use crate::failure::Failure;
use owo_colors::{OwoColorize, Style};
use std::io::{self, IsTerminal, Write};

/// Prints a result. A reader that has gone away (`pinyon … | head -1`) is no error.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints why the program failed: `error: …`, and `hint: …` if there is one.
/// A mistake in a settings file is shown where it stands, if the file can still be read.
pub(crate) fn complain(failure: &Failure) {
    let colors = has_colors(&io::stderr());
    let shown: Option<Vec<String>> = failure.mistakes.iter().map(|mistake| excerpt::show(mistake, colors)).collect();
    if let Some(shown) = shown.filter(|shown| !shown.is_empty()) {
        say(&shown.join("\n\n"));
        return;
    }
    say(&format!("{} {}", paint("error:", Style::new().red().bold(), colors), failure.message));
    if let Some(hint) = &failure.hint {
        say(&format!("{} {hint}", paint("hint:", Style::new().cyan(), colors)));
    }
}

/// Prints what is good to know and no failure.
pub(crate) fn note(text: &str) {
    say(&format!("{} {text}", paint("note:", Style::new().yellow(), has_colors(&io::stderr()))));
}

fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether this stream is a terminal whose user wants colors.
pub(crate) fn has_colors(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// `text` in this style, if there are colors.
pub(crate) fn paint(text: &str, style: Style, colors: bool) -> String {
    if colors { text.style(style).to_string() } else { text.to_owned() }
}

/// `text` in lines of at most `width` characters where its words allow it, each after `indent`.
pub(crate) fn wrap(text: &str, indent: &str, width: usize) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut used = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if used == 0 || used + 1 + length > width {
                lines.push_str(if used == 0 { "" } else { "\n" });
                lines.push_str(indent);
                used = indent.chars().count();
            } else {
                lines.push(' ');
                used += 1;
            }
            lines.push_str(word);
            used += length;
        }
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_a_long_word_stays_whole() {
        assert_eq!(wrap("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(wrap("abcdefghijkl m", " ", 5), " abcdefghijkl\n m\n");
        assert_eq!(wrap("a\nb", "", 80), "a\nb\n");
    }
}
