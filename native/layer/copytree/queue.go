package copytree

import "sync"

// task is one directory to open (dir nil), or a part of an open one's names.
type task struct {
	path string
	node *Node
	dir  *directory
	part []name
}

// queue is a stack: depth first keeps few tasks waiting. It ends when nothing waits and nobody works.
type queue struct {
	lock  sync.Mutex
	wake  *sync.Cond
	tasks []task
	busy  int
	ended bool
}

func (q *queue) init() { q.wake = sync.NewCond(&q.lock) }

func (q *queue) push(tasks ...task) {
	q.lock.Lock()
	q.tasks = append(q.tasks, tasks...)
	q.lock.Unlock()
	if len(tasks) == 1 {
		q.wake.Signal()
	} else {
		q.wake.Broadcast()
	}
}

// pop waits for a task; also a closed queue is drained, so that open directories are released.
func (q *queue) pop() (task, bool) {
	q.lock.Lock()
	defer q.lock.Unlock()
	for len(q.tasks) == 0 {
		if q.busy == 0 {
			q.wake.Broadcast()
			return task{}, false
		}
		q.wake.Wait()
	}
	next := q.tasks[len(q.tasks)-1]
	q.tasks = q.tasks[:len(q.tasks)-1]
	q.busy++
	return next, true
}

func (q *queue) done() {
	q.lock.Lock()
	q.busy--
	if q.busy == 0 && len(q.tasks) == 0 {
		q.wake.Broadcast()
	}
	q.lock.Unlock()
}

func (q *queue) close() {
	q.lock.Lock()
	q.ended = true
	q.lock.Unlock()
}

func (q *queue) closed() bool {
	q.lock.Lock()
	defer q.lock.Unlock()
	return q.ended
}
