package publish

// ReadStatus returns what a Publisher left in dir, for a log of size headers. It
// asks no chain: what happened on it since is not known.
func ReadStatus(dir string, size uint64) (Status, error) {
	return readStatus(dir, size, newArchivist(""))
}

func readStatus(dir string, size uint64, archived *archivist) (Status, error) {
	state, err := ReadState(dir)
	if err != nil {
		return Status{}, err
	}
	s := Status{Size: size}
	s.remember(state)
	err = ReadHistory(dir, func(e Entry) {
		if e.ChainID == state.ChainID && e.Contract == state.Contract {
			s.note(e)
			archived.note(e)
		}
	})
	s.Evidence = archived.status()
	anchored := uint64(0)
	if s.Anchored != nil {
		anchored = s.Anchored.Size
	}
	s.Backlog = max(size, anchored) - anchored
	return s, err
}
