//! The line of a settings file with the mistake underlined.

use crate::failure::Mistake;
use crate::masking;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// The mistake with its line, or none if there is no such line any more. Of the text in the line only what the message
/// names anyway is shown.
pub(crate) fn show(mistake: &Mistake, colors: bool) -> Option<String> {
    let file = mistake.location.file.as_ref()?;
    let text = std::fs::read_to_string(file).ok()?;
    let span = mistake.location.span;
    let line = masking::line(&text, span.line, span.column)?;
    let path = file.display().to_string();
    // The place is the one in the file: what is masked in the line has another width.
    let origin = Origin::path(&path).line(span.line).char_column(span.column);
    let snippet =
        Snippet::source(&line.text).line_start(span.line).annotation(AnnotationKind::Primary.span(line.marked.clone()));
    let title = Level::ERROR.primary_title(&mistake.message).element(origin).element(snippet);
    let report = [match &mistake.hint {
        Some(hint) => title.element(Level::HELP.with_name("hint").message(hint)),
        None => title,
    }];
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    let rendered = renderer.render(&report);
    // Between place and line the renderer marks that the line has no file of its own.
    let is_mark = |number: usize, line: &str| number == 3 && line.contains(":::") && !line.contains('|');
    let lines = rendered.lines().enumerate().filter(|(number, line)| !is_mark(*number, line));
    Some(lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
}
