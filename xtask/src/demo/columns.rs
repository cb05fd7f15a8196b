//! Texts side by side, for a terminal of 120 columns.

/// What comes before each row, and between two columns.
const MARGIN: &str = "  ";
const BETWEEN: &str = " | ";

/// Columns of this width, three of them in a row of 118.
pub const WIDTH: usize = 36;

/// Rows of a block: the cells of each column from the top on, wrapped, with blanks below the shorter ones.
pub fn block(columns: &[Vec<String>]) -> Vec<String> {
    let columns: Vec<Vec<String>> =
        columns.iter().map(|cells| cells.iter().flat_map(|cell| wrap(cell)).collect()).collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or_default();
    (0..height)
        .map(|row| {
            let cell = |column: &Vec<String>| format!("{:WIDTH$}", column.get(row).map_or("", String::as_str));
            let cells: Vec<String> = columns.iter().map(cell).collect();
            format!("{MARGIN}{}", cells.join(BETWEEN)).trim_end().to_owned()
        })
        .collect()
}

/// A line between two blocks.
pub fn rule(columns: usize) -> String {
    let dashes = vec!["-".repeat(WIDTH); columns];
    format!("{MARGIN}{}", dashes.join("-+-"))
}

/// A text in lines of at most [`WIDTH`], cut at a space where there is one, the later ones indented.
fn wrap(text: &str) -> Vec<String> {
    const INDENT: &str = "     ";
    let mut lines = Vec::new();
    let mut rest = text.to_owned();
    while rest.chars().count() > WIDTH {
        let fits = rest.char_indices().nth(WIDTH).map_or(rest.len(), |(at, _)| at);
        // A space within the indent would cut nothing off.
        let space = rest[..=fits.min(rest.len() - 1)].rfind(' ').filter(|at| *at > INDENT.len());
        let (line, more) = rest.split_at(space.unwrap_or(fits));
        let more = format!("{INDENT}{}", more.trim_start());
        lines.push(line.to_owned());
        rest = more;
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_side_by_side_and_fit() {
        let long =
            "S: 220 a greeting that is longer than its column, and one-word-that-cannot-be-cut-at-any-space-at-all";
        let columns = [vec!["short".to_owned(), "second".to_owned()], vec![long.to_owned()], vec!["third".to_owned()]];
        let rows = block(&columns);
        assert!(rows.iter().chain([&rule(3)]).all(|row| row.len() <= 120), "{rows:#?}");
        assert!(rows[0].starts_with("  short") && rows[0].ends_with("third"), "{rows:#?}");
        assert!(rows[1].starts_with("  second"), "{rows:#?}");
        let middle: String = rows.iter().filter_map(|row| row.split('|').nth(1)).collect();
        let without_spaces = |text: &str| text.split(' ').collect::<String>();
        assert_eq!(without_spaces(&middle), without_spaces(long));
    }
}
