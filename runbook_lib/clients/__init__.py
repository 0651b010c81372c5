"""Every service that is asked, over one HTTP edge."""
