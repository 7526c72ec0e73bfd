//! Rows of totals, which a spreadsheet or a portal adds below a table and which would count every guest twice.
//!
//! They are known by what a cell says, in the languages that tables are mostly written in: what is not known by its word
//! is not known at all, as no number tells that it is the sum of others.

/// What a cell of such a row says, in small letters.
const WORDS: [&str; 65] = [
    // English.
    "total",
    "totals",
    "grand total",
    "grand totals",
    "overall total",
    "sum",
    "sum total",
    "subtotal",
    "sub total",
    "subtotals",
    // German.
    "summe",
    "gesamt",
    "gesamtsumme",
    "gesamtergebnis",
    "insgesamt",
    "endsumme",
    "zwischensumme",
    "teilergebnis",
    // French.
    "total général",
    "total general",
    "sous total",
    "totaux",
    "somme",
    "somme totale",
    // Spanish and Portuguese.
    "suma",
    "suma total",
    "totales",
    "soma",
    "total geral",
    "totais",
    // Italian.
    "totale",
    "totali",
    "totale generale",
    "totale complessivo",
    "subtotale",
    "somma",
    // Dutch.
    "totaal",
    "eindtotaal",
    "subtotaal",
    "som",
    // Swedish, Danish, Norwegian and Finnish.
    "summa",
    "totalt",
    "totalsumma",
    "delsumma",
    "i alt",
    "yhteensä",
    // Polish and Czech.
    "suma końcowa",
    "razem",
    "łącznie",
    "ogółem",
    "celkem",
    "součet",
    // Turkish.
    "toplam",
    "genel toplam",
    "ara toplam",
    // Russian.
    "итого",
    "всего",
    "сумма",
    // Japanese, Chinese and Korean.
    "合計",
    "総計",
    "小計",
    "合计",
    "总计",
    "小计",
    "합계",
];

/// Says whether a cell says nothing else than that its row adds up others.
pub(super) fn is_word(cell: &str) -> bool {
    // A cell is mostly a number, a date or long.
    if cell.len() > 40 || cell.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
        return false;
    }
    let spaced = cell.to_lowercase().replace(['-', '_', '\u{a0}'], " ");
    let is_frame = |character: char| matches!(character, ':' | '.' | '=' | '*' | '(' | ')' | '[' | ']');
    let words: Vec<&str> = spaced.split_whitespace().map(|word| word.trim_matches(is_frame)).collect();
    WORDS.contains(&words.join(" ").trim())
}

/// Says whether a cell says so beside other words.
pub(super) fn mentions(cell: &str) -> bool {
    is_word(cell) || cell.to_ascii_lowercase().contains("total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_known_by_their_words_in_any_writing() {
        for cell in [
            "Total",
            " TOTALS: ",
            "Grand  Total",
            "Sub-Total",
            "Sum:",
            "Gesamtsumme",
            "Итого:",
            "合計",
            "*Total*",
        ] {
            assert!(is_word(cell.trim()), "{cell}");
        }
        for cell in ["", "Total guests", "Sumatra", "2026-10", "us-east-1", "guests in total", "-"] {
            assert!(!is_word(cell), "{cell}");
        }
        assert!(mentions("2026-10 Total") && mentions("Summe") && !mentions("111122223333"));
    }
}
