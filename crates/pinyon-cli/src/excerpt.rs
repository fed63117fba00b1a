//! The line of a settings file with the mistake underlined.

use crate::failure::Mistake;
use crate::masking;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The mistake with its line, or none if there is no such line any more. Of the text in the line only what the message
/// names anyway is shown.
pub(crate) fn show(mistake: &Mistake, colors: bool) -> Option<String> {
    let file = mistake.location.file.as_ref()?;
    let text = std::fs::read_to_string(file).ok()?;
    let span = mistake.location.span;
    let line = masking::line(&text, span.line, span.column)?;
    let path = file.display().to_string();
    let snippet = Snippet::source(&line.text)
        .line_start(span.line)
        .path(&path)
        .annotation(AnnotationKind::Primary.span(line.marked.clone()));
    let title = Level::ERROR.primary_title(&mistake.message).element(snippet);
    let report = [match &mistake.hint {
        Some(hint) => title.element(Level::HELP.with_name("hint").message(hint)),
        None => title,
    }];
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    Some(renderer.render(&report))
}
