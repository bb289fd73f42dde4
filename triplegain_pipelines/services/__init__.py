"""What runs all the time. The streams, the guardian and the page come here; now it is the supervisor."""
