//! What names and texts are made of: of many scripts, and with what is hard to quote.

pub(super) const FIRST: [&str; 20] = [
    "Ada",
    "Björk",
    "Chloë",
    "Dmitri",
    "Eun-ji",
    "Fatima",
    "Göran",
    "Hiroshi",
    "Íñigo",
    "José",
    "Katharina",
    "Lê",
    "Mária",
    "Niamh",
    "Olena",
    "Πέτρος",
    "李",
    "Şebnem",
    "अनन्या",
    "יעל",
];

pub(super) const LAST: [&str; 16] = [
    "Lovelace",
    "O'Brien",
    "Müller",
    "García",
    "Nguyễn",
    "de la Cruz",
    "Žižek",
    "Иванова",
    "山田",
    "Åström",
    "D'Angelo",
    "Smith-Jones",
    "Öztürk",
    "Παπαδόπουλος",
    "مصطفى",
    "김",
];

pub(super) const THINGS: [&str; 12] = [
    "tea pot",
    "lamp",
    "chair",
    "6\" ruler",
    "Käsereibe",
    "crêpe pan",
    "tatami 畳",
    "notebook",
    "50% wool scarf",
    "puzzle",
    "🎈 balloon",
    "clock",
];

pub(super) const MATERIALS: [&str; 8] = ["oak", "steel", "glass", "wool", "paper", "clay", "brass", "linen"];

pub(super) const NOTES: [&str; 8] = [
    "please ring twice",
    "it's a gift",
    "leave at the \"blue\" door",
    "c:\\orders\\new",
    "first line\nsecond line",
    "50% now; 50% later",
    "für Großmutter 🎂",
    "",
];

pub(super) const STATUSES: [&str; 4] = ["open", "paid", "shipped", "returned"];
pub(super) const THEMES: [&str; 3] = ["light", "dark", "system"];
pub(super) const LANGUAGES: [&str; 5] = ["en", "de", "ja", "el", "he"];
