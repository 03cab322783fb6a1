//! What is refused, with its code and the words that it points at.

use super::*;

#[test]
fn unknown_names_are_found() {
    condition_refused("card_payment", "amunt > 5 EUR", "E0101", "amunt");
    condition_refused("card_payment", "device in blocked_devics", "E0106", "blocked_devics");
    condition_refused(
        "card_payment",
        "count(card_paymnt) by card over last 1h > 1",
        "E0102",
        "card_paymnt",
    );
    condition_refused("card_payment", "lenght(note) > 1", "E0103", "lenght");
    condition_refused("card_payment", "status = declind", "E0204", "declind");
}
