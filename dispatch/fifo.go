package dispatch

// fifo is a queue. The zero fifo is empty and ready.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) { q.items = append(q.items, v) }

// at returns the i-th item from the front.
func (q *fifo[T]) at(i int) T { return q.items[q.head+i] }

func (q *fifo[T]) pop() (T, bool) {
	var zero T
	if q.len() == 0 {
		return zero, false
	}
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	// Moving the rest down only once half is spent keeps a pop constant on average and the memory bounded.
	if q.head > 64 && q.head*2 >= len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return v, true
}

// cut takes all but the first n items out of the queue and returns them.
func (q *fifo[T]) cut(n int) []T {
	if q.len() <= n {
		return nil
	}
	rest := append([]T(nil), q.items[q.head+n:]...)
	q.items = append([]T(nil), q.items[q.head:q.head+n]...)
	q.head = 0
	return rest
}
