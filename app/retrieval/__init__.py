"""What the Retrieval page knows without drawing: requests, the queue of searches, events made into what a person sees."""
