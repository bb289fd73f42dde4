"""News from outside: feeds of headlines and the fear-and-greed index, fetched, checked, made plain, joined by story.

Everything here was written by strangers. Nothing here touches the database or decides what an agent may see.
"""
