// What the pages do beside what HTML does: times in the reader's zone, and signing in by QR.
'use strict'

for (const time of document.querySelectorAll('time[datetime]')) {
	const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' })
	time.textContent = format.format(new Date(time.dateTime))
}

const panel = document.getElementById('qr')
if (panel && window.EventSource) {
	showQR(panel)
}

// showQR asks for a code when it comes into view, shows what becomes of it, and signs in when it is approved.
function showQR(panel) {
	const part = name => document.getElementById('qr-' + name)
	const [image, over, number, again, status, hint, code] =
		['image', 'over', 'number', 'again', 'status', 'code', 'user-code'].map(part)
	const rounds = 5 // codes that are asked for without anybody touching the page: a quarter of an hour
	let left = rounds
	let stream = null

	// say writes the status, which screen readers read out; with a number, also that, which others see above.
	function say(name, number) {
		status.textContent = panel.dataset[name]
		if (number) {
			const spoken = document.createElement('span')
			spoken.className = 'spoken'
			spoken.textContent = ' ' + number
			status.append(spoken)
		}
	}

	function draw(svg, typed) {
		image.src = 'data:image/svg+xml,' + encodeURIComponent(svg)
		code.textContent = typed
		image.hidden = hint.hidden = false
	}

	function cover({ confirmation, offer }) {
		number.textContent = confirmation || ''
		number.hidden = !confirmation
		again.hidden = !offer
		over.hidden = !confirmation && !offer
		if (confirmation || offer) {
			hint.hidden = true
		}
	}

	function stop(name) {
		if (stream) {
			stream.close()
			stream = null
		}
		say(name)
		cover({ offer: true })
	}

	function expired() {
		left -= 1
		if (left > 0 && !document.hidden) {
			ask()
		} else {
			stop('expired')
		}
	}

	async function ask() {
		if (stream) {
			stream.close()
			stream = null
		}
		let answer
		try {
			const response = await fetch(panel.dataset.ask, { method: 'POST', credentials: 'same-origin' })
			if (!response.ok) {
				throw new Error(String(response.status))
			}
			answer = await response.json()
		} catch {
			stop('failed')
			return
		}
		draw(answer.qr_svg, answer.user_code)
		cover({})
		say('waiting')
		watch(answer.confirmation)
	}

	function watch(confirmation) {
		stream = new EventSource(panel.dataset.events)
		const on = (name, act) => stream.addEventListener(name, event => act(JSON.parse(event.data)))
		on('qr', shown => draw(shown.qr_svg, shown.user_code))
		on('scanned', () => {
			say('scanned', confirmation)
			cover({ confirmation, offer: true }) // whoever scanned may be somebody else
		})
		on('approved', () => {
			stream.close()
			say('approved')
			cover({ confirmation })
			part('collect').submit()
		})
		on('denied', () => stop('denied'))
		on('cancelled', () => stop('denied'))
		on('redeemed', () => stop('expired'))
		on('expired', expired)
		stream.onerror = () => {
			if (stream && stream.readyState === EventSource.CLOSED) {
				stop('failed')
			}
		}
	}

	again.addEventListener('click', () => {
		left = rounds
		ask()
	})
	addEventListener('pagehide', () => stream && stream.close())

	panel.hidden = false
	const seen = new IntersectionObserver(entries => {
		if (entries.some(entry => entry.isIntersecting)) {
			seen.disconnect()
			ask()
		}
	})
	seen.observe(panel)
}
