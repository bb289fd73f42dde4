"""The words of the trade: value objects, enums, errors, clock and ids. Imports nothing of ours."""
