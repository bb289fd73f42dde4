"""PostgreSQL: the embedded server, the pool, migrations, and one repository for each subject. All SQL is here."""
