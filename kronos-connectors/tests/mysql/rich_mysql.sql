-- What MySQL has of its own.
CREATE TABLE own (id INT PRIMARY KEY, hidden INT INVISIBLE DEFAULT 3, j JSON DEFAULT (JSON_ARRAY()), k INT, v VECTOR(3), p POINT NOT NULL SRID 4326,
    KEY functional ((k + 1)), KEY unseen (k) INVISIBLE, KEY multi ((CAST(j AS UNSIGNED ARRAY))), SPATIAL KEY sp (p), KEY down (k DESC),
    CONSTRAINT c1 CHECK (k > 0) NOT ENFORCED) ENGINE = InnoDB COMMENT = 'x';
INSERT INTO own (id, hidden, j, k, v, p) VALUES (1, 9, '[1, 2]', -5, STRING_TO_VECTOR('[1,2.5,-3e-10]'), ST_GeomFromText('POINT(10 20)', 4326)),
    (2, NULL, '[]', NULL, NULL, ST_GeomFromText('POINT(-10 -20)', 4326));
CREATE TABLE negative_zero (id INT NOT NULL, f FLOAT, d DOUBLE, PRIMARY KEY (id DESC));
INSERT INTO negative_zero VALUES (1, -0.0e0, -0.0e0), (2, 0, 0), (-3, 1e-45, 5e-324);
