//! The tables of the shop.

/// A table of the generated shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockTable {
    /// `users`: who orders, and who brought them.
    Users,
    /// `products`: what there is.
    Products,
    /// `orders`: who has ordered when.
    Orders,
    /// `order_items`: what was ordered; its key has two columns.
    OrderItems,
}

impl MockTable {
    /// All of them; what others refer to comes first.
    pub const ALL: [Self; 4] = [Self::Users, Self::Products, Self::Orders, Self::OrderItems];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::OrderItems => "order_items",
        }
    }

    /// Its columns in order.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Users => &["id", "email", "name", "born", "referrer", "active", "avatar", "settings", "created"],
            Self::Products => &["id", "sku", "title", "price", "weight", "stock"],
            Self::Orders => &["id", "number", "user_id", "status", "placed", "shipped", "note", "total"],
            Self::OrderItems => &["order_id", "line", "product_id", "quantity", "price"],
        }
    }
}

/// Decimals are text: SQLite has no type that keeps their digits, and other engines hand them out so.
pub(super) const SCHEMA: &str = "\
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email VARCHAR(120) NOT NULL UNIQUE,
    name VARCHAR(80) NOT NULL,
    born DATE,
    referrer INTEGER REFERENCES users (id) ON DELETE SET NULL,
    active BOOLEAN NOT NULL DEFAULT TRUE CHECK (active IN (0, 1)),
    avatar BLOB,
    settings JSON NOT NULL DEFAULT '{}' CHECK (json_valid(settings)),
    created TIMESTAMP NOT NULL
);
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    sku CHAR(8) NOT NULL UNIQUE,
    title TEXT NOT NULL,
    price TEXT NOT NULL CHECK (price LIKE '%.__'),
    weight REAL,
    stock BIGINT NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    number CHAR(36) NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status VARCHAR(10) NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'returned')),
    placed TIMESTAMP NOT NULL,
    shipped DATE,
    note TEXT,
    total TEXT NOT NULL
);
CREATE INDEX orders_user ON orders (user_id, placed);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price TEXT NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE VIEW order_totals AS
    SELECT order_id AS id, sum(quantity * price) AS sum FROM order_items GROUP BY order_id;
";
