//! Refuses text that is nested so deeply that walking its tree would exhaust the stack.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// The deepest nesting that is read: brackets, blocks, and operators in a row all count.
const DEEPEST: usize = 100;

/// Whether something in `text` is nested too deeply.
///
/// An expression is never deeper than the tokens in it that are no operands, so these are counted: for each open bracket
/// since its last comma, and at the top since the last end of a line. A `lambda` has commas of its own.
pub(super) fn too_deep(text: &str) -> bool {
    let mut lexer = lexer::lex(text, Mode::Module);
    let mut frames = vec![Frame::default()];
    let (mut depth, mut blocks) = (0_usize, 0_usize);
    loop {
        let kind = lexer.next_token();
        let Some(frame) = frames.last_mut() else { return false };
        match kind {
            TokenKind::EndOfFile => return false,
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Newline | TokenKind::Semi => {
                frames.truncate(1);
                frames[0] = Frame::default();
                depth = 0;
            }
            TokenKind::Comma => {
                depth -= frame.operators;
                frame.operators = 0;
            }
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                frame.operators += 1;
                depth += 1;
                frames.push(Frame::default());
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd | TokenKind::TStringEnd => {
                depth -= frame.operators + frame.lambdas;
                if frames.len() > 1 {
                    frames.pop();
                } else {
                    frames[0] = Frame::default();
                }
            }
            TokenKind::Lambda => {
                frame.lambdas += 1;
                depth += 1;
            }
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::NonLogicalNewline
            | TokenKind::Comment
            | TokenKind::True
            | TokenKind::False
            | TokenKind::None => {}
            _ => {
                frame.operators += 1;
                depth += 1;
            }
        }
        if depth + blocks > DEEPEST {
            return true;
        }
    }
}

#[derive(Default)]
struct Frame {
    operators: usize,
    lambdas: usize,
}
