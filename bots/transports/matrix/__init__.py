"""The Matrix transport: rooms as timelines, direct messages as to-device events.

    addresses   Matrix ids as URIs, and back
    config      what its owner sets
    session     the kept login
    wire        one HTTP request and what its answer means (the only module that imports nio)
    account     logged in: every authenticated call
    events      what a sync brings, in types
    reading     what a raw event says: carriers, a person's words, its thread
    writing     a parcel as event content
    rooms       what we know of the rooms we are in, and the position of the sync
    history     paging back through a room
    arrivals    one sync answer -> deliveries and the next position
    membership  joining and invitations
    replacement rooms that are replaced by others
    entering    the rooms our owner names, and those that replaced them
    errands     what is done beside receiving
    sending     a parcel into its room, or to a device
    encryption  end-to-end encrypted rooms; lists what belongs to it
    transport   all of it behind ``bots.transports.Transport``

Importing this package imports none of them: nio is loaded with ``transport`` alone.
"""
