//go:build unix && !linux

package stream

// watcher notices which clients leave, by a goroutine for each of them.
type watcher struct{ ended chan struct{} }

func newWatcher() (*watcher, error) { return &watcher{make(chan struct{})}, nil }

func (w *watcher) close() { close(w.ended) }

// run returns at close: there is nothing to do.
func (w *watcher) run() error {
	<-w.ended
	return nil
}

// add watches a socket until it is closed.
func (w *watcher) add(d *descriptor) error {
	go func() {
		var b [512]byte
		for said := 0; said <= maxSaid; {
			n, err := d.conn.Read(b[:])
			if err != nil {
				break
			}
			said += n
		}
		d.close()
	}()
	return nil
}

func (w *watcher) remove(*descriptor) {}
