package client

// CacheSizes tells how many names are in the cache.
func CacheSizes(r *Registry) (known, unknown int) {
	r.cache.mu.RLock()
	defer r.cache.mu.RUnlock()
	return len(r.cache.known), len(r.cache.unknown)
}
