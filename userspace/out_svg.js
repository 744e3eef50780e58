/*
 * The flame graph's behaviour: zoom, search, hover, keyboard. out_svg.c embeds this file and writes the data that it
 * reads.
 *
 * The data is {labels: [[name, place, class]], nodes: [[depth, label, width, ...NUMBERS]]}, nodes in order from callers
 * to callees; numbers that are zero are left off at the end of a row. What is in it came from a program that we do not
 * trust: it is parsed as JSON and becomes text, never markup. Only what can be seen is in the document.
 */
(() => {
'use strict';
const SVG = 'http://www.w3.org/2000/svg', HTML = 'http://www.w3.org/1999/xhtml';
const ROW = 19, TOP = 112, SIDE = 10, BOTTOM = 12; // pixels
const NARROW = 1;    // narrower frames are drawn as one until their caller is zoomed to
const CHAR = 7.3;    // a monospaced character at 12 px
const LEVELS = 200;  // drawn at once; zooming shows what lies above
const CALLERS = 8;   // of what is zoomed to: the base and the nearest ones are drawn
const DEPTH = 0, LABEL = 1, WIDTH = 2; // places in a node's row
const CALL = 3; // the depth from which nodes are calls; below are the base, processes and threads
const BELOW = { 2: 'process', 3: 'thread' };
const NUMBERS = ['total', 'self', 'hits', 'complete', 'completeNs', 'min', 'max', 'raised', 'atStart', 'atEnd',
	'suspended', 'elapsed'];

const svg = document.currentScript ? document.currentScript.closest('svg') : document.documentElement;
const isPage = svg === document.documentElement; // and not part of an HTML page
const { labels, nodes } = JSON.parse(svg.querySelector('.data').textContent);
const frames = svg.querySelector('.frames'), head = svg.querySelector('.head');
const parent = new Int32Array(nodes.length).fill(-1); // -1 for the base
const end = new Int32Array(nodes.length);             // the first node that is not below this one
const start = new Float64Array(nodes.length);         // left edge, in the unit of the widths
const foundLabel = new Uint8Array(labels.length);
const foundBefore = new Int32Array(nodes.length + 1); // [i]: how many nodes before i match the search
let zoomed = 0, focused = 0, searching = false, elements = new Map();

function arrange() {
	const filled = new Float64Array(nodes.length), open = [];
	nodes.forEach((node, i) => {
		while (open.length > node[DEPTH])
			end[open.pop()] = i;
		if (open.length) {
			parent[i] = open[open.length - 1];
			start[i] = filled[parent[i]];
			filled[parent[i]] += node[WIDTH];
		}
		filled[i] = start[i];
		open.push(i);
	});
	open.forEach(i => { end[i] = nodes.length; });
}

function make(space, name, attributes, into, text) {
	const element = document.createElementNS(space, name);
	for (const key in attributes)
		element.setAttribute(key, attributes[key]);
	if (text !== undefined)
		element.textContent = text;
	if (into)
		into.appendChild(element);
	return element;
}

/* What is told about a frame. */

function duration(ns) {
	for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['\u00b5s', 1e3]]) {
		if (ns >= size)
			return `${(ns / size).toPrecision(ns / size >= 1000 ? 5 : 4)} ${unit}`;
	}
	return `${ns} ns`;
}

function percent(part, whole) {
	return `${whole ? (100 * part / whole).toFixed(2) : '0.00'} %`;
}

function numbers(i) {
	return Object.fromEntries(NUMBERS.map((name, k) => [name, nodes[i][WIDTH + 1 + k] || 0]));
}

function describe(i) {
	const [name, place] = labels[nodes[i][LABEL]], width = nodes[i][WIDTH], n = numbers(i);
	const lines = place ? [place] : [];
	let share = `${percent(width, nodes[0][WIDTH])} of all`;
	if (parent[i] > 0)
		share += `, ${percent(width, nodes[parent[i]][WIDTH])} of its ${BELOW[nodes[i][DEPTH]] || 'caller'}`;
	if (nodes[i][DEPTH] < CALL)
		return [name, [...lines, `time of its calls ${duration(width)}`, share]];
	lines.push(`hits   ${n.hits}`, `total  ${duration(n.total)}`, `self   ${duration(n.self)}`, `share  ${share}`);
	const mean = sum => duration(Math.round(sum / n.complete));
	if (n.complete)
		lines.push(`a hit  ${mean(n.completeNs)}, from ${duration(n.min)} to ${duration(n.max)}`);
	if (n.complete && n.elapsed)
		lines.push(`       ${mean(n.elapsed)} from start to end, suspension included`);
	if (n.raised)
		lines.push(`ended by an exception: ${n.raised}`);
	if (n.atStart)
		lines.push(`running already when we attached: ${n.atStart} (no hits)`);
	if (n.atEnd)
		lines.push(`still running when we stopped: ${n.atEnd}`);
	if (n.suspended)
		lines.push(`suspended when we stopped: ${n.suspended}`);
	return [name, lines];
}

/* Text goes at its start where it is a name with dots, since the end tells more. */
function fit(text, width, keepStart) {
	const room = Math.floor((width - 6) / CHAR), chars = [...text];
	const sizes = chars.map(c => c.codePointAt(0) < 0x1100 ? 1 : 2);
	let taken = sizes.reduce((a, b) => a + b, 0);
	if (taken <= room)
		return text;
	if (room < 3)
		return '';
	while (taken > room - 1) {
		taken -= keepStart ? sizes.pop() : sizes.shift();
		keepStart ? chars.pop() : chars.shift();
	}
	return keepStart ? chars.join('') + '\u2026' : '\u2026' + chars.join('');
}

/* Which boxes can be seen: {node, level, x, width}, or {count, ns} instead of a node where narrow frames are merged. */

function callersOf(i) {
	const all = [];
	for (let k = parent[i]; k >= 0; k = parent[k])
		all.push(k);
	all.reverse();
	const rows = all.map(node => ({ node }));
	if (all.length > CALLERS + 2)
		rows.splice(1, all.length - CALLERS - 1, { hidden: all.length - CALLERS - 1 });
	return rows;
}

function boxesFor(width) {
	const scale = width / (nodes[zoomed][WIDTH] || 1), runs = new Map();
	const boxes = callersOf(zoomed).map((row, level) => ({ ...row, level, x: 0, width, caller: true }));
	const base = boxes.length, flush = run => run && run.width >= NARROW && boxes.push(run);
	for (let i = zoomed; i < end[zoomed];) {
		const box = { node: i, x: (start[i] - start[zoomed]) * scale, width: nodes[i][WIDTH] * scale,
			level: base + nodes[i][DEPTH] - nodes[zoomed][DEPTH] };
		if (box.width >= NARROW || i === zoomed) {
			box.cut = box.level - base + 1 >= LEVELS && end[i] > i + 1;
			boxes.push(box);
			i = box.level - base + 1 >= LEVELS ? end[i] : i + 1;
			continue;
		}
		let run = runs.get(box.level);
		if (!run || box.x - run.x - run.width > 0.01) {
			flush(run);
			run = { count: 0, ns: 0, found: false, level: box.level, x: box.x, width: 0 };
			runs.set(box.level, run);
		}
		run.count++;
		run.ns += nodes[i][WIDTH];
		run.width = box.x + box.width - run.x;
		run.found ||= foundBefore[end[i]] > foundBefore[i];
		i = end[i];
	}
	runs.forEach(flush);
	return boxes;
}

/* Drawing. */

function drawBox(box, height, into) {
	const y = height - BOTTOM - (box.level + 1) * ROW, x = SIDE + box.x;
	const isNode = box.node !== undefined, label = isNode ? labels[nodes[box.node][LABEL]] : null;
	const found = isNode && foundLabel[nodes[box.node][LABEL]];
	const inside = isNode ? foundBefore[end[box.node]] > foundBefore[box.node] : box.found;
	const name = isNode ? label[0] : box.hidden ? `\u2026 ${box.hidden} more callers` : '';
	const classes = ['frame', box.caller && 'caller', found && 'found', inside && 'in'].filter(Boolean);
	const g = make(SVG, 'g', { class: classes.join(' ') }, into);
	make(SVG, 'rect', { x: x.toFixed(2), y, width: Math.max(box.width - 0.6, 0.4).toFixed(2), height: ROW - 1,
		class: isNode ? label[2] : 'm' }, g);
	const text = fit(name, box.width, !isNode || nodes[box.node][DEPTH] < CALL);
	if (text)
		make(SVG, 'text', { x: (x + 4).toFixed(2), y: y + 13 }, g, text);
	if (box.cut)
		make(SVG, 'line', { class: 'cut', x1: x, y1: y, x2: x + box.width, y2: y }, g);
	if (isNode) {
		g.setAttribute('role', 'button');
		g.setAttribute('tabindex', box.node === focused ? 0 : -1);
		g.setAttribute('aria-label', `${name}, ${percent(nodes[box.node][WIDTH], nodes[0][WIDTH])}`);
		elements.set(box.node, g);
	}
	g.box = box;
}

function draw() {
	const width = Math.max(svg.getBoundingClientRect().width, 360);
	const boxes = boxesFor(width - 2 * SIDE);
	const levels = boxes.reduce((most, box) => Math.max(most, box.level + 1), 1);
	const height = Math.max(TOP + levels * ROW + BOTTOM, draw.height || 0);
	const hadFocus = frames.contains(document.activeElement);
	const drawn = document.createDocumentFragment();
	draw.height = height; // it does not shrink: zooming would make the page jump
	svg.setAttribute('height', isPage ? Math.max(height, innerHeight) : height); // the tip needs room too
	elements = new Map();
	if (!boxes.some(box => box.node === focused))
		focused = zoomed;
	boxes.forEach(box => drawBox(box, height, drawn));
	frames.replaceChildren(drawn);
	svg.classList.toggle('searching', searching);
	if (hadFocus)
		elements.get(focused).focus({ preventScroll: true });
	reset.disabled = zoomed === 0 && !searching;
	showMatched();
}

function placeHead() {
	const top = Math.max(0, -svg.getBoundingClientRect().top);
	head.setAttribute('transform', `translate(0 ${top})`);
}

/* The controls and the tip are made here: without scripts they would only mislead. */

const controls = make(HTML, 'div', { class: 'controls' },
	make(SVG, 'foreignObject', { x: SIDE, y: 70, width: 1200, height: 32 }, head));
const search = make(HTML, 'input', { type: 'search', placeholder: 'Search (Ctrl-F)', spellcheck: 'false',
	'aria-label': 'Search for functions', autocomplete: 'off' }, controls);
const reset = make(HTML, 'button', { type: 'button', title: 'Esc' }, controls, 'Reset');
const matched = make(HTML, 'span', { role: 'status' }, controls);
const tip = make(SVG, 'foreignObject', { class: 'tip', x: 0, y: 0, width: 1, height: 1, visibility: 'hidden' }, svg);
const tipText = make(HTML, 'div', { role: 'tooltip' }, tip);

function hideTip() {
	tip.setAttribute('visibility', 'hidden');
}

/* Beside the point (x, y) of the window, inside the window. */
function showTip(box, x, y) {
	const [name, lines] = box.node !== undefined ? describe(box.node)
		: box.hidden ? [`${box.hidden} more callers`, ['not drawn; click the base to see all from there']]
		: [`${box.count} narrow frames`, [`time ${duration(box.ns)}`, 'click to zoom to their caller']];
	tipText.replaceChildren();
	make(HTML, 'b', {}, tipText, name);
	tipText.append('\n' + lines.join('\n') + (box.cut ? '\ncalls more than fits: click to zoom' : ''));
	const origin = svg.getBoundingClientRect();
	tip.setAttribute('width', Math.min(540, document.documentElement.clientWidth || innerWidth));
	const size = tipText.getBoundingClientRect();
	const left = x + 14 + size.width > innerWidth ? Math.max(4, x - 14 - size.width) : x + 14;
	const top = y + 16 + size.height > innerHeight ? Math.max(4, y - 12 - size.height) : y + 16;
	tip.setAttribute('x', left - origin.left);
	tip.setAttribute('y', top - origin.top);
	tip.setAttribute('visibility', 'visible');
}

/* Zoom and search. */

function zoom(i) {
	zoomed = i;
	focused = i;
	hideTip();
	draw();
}

function matcher(text) {
	try {
		const pattern = new RegExp(text, 'iu');
		return string => pattern.test(string);
	} catch {
		const lower = text.toLowerCase();
		return string => string.toLowerCase().includes(lower);
	}
}

function find() {
	const matches = search.value ? matcher(search.value) : null;
	searching = Boolean(matches);
	/* A module's place is a file; a process's and a thread's place is prose. */
	labels.forEach(([name, place, style], k) => {
		foundLabel[k] = matches && (matches(name) || (style[0] === 'c' && matches(place))) ? 1 : 0;
	});
	nodes.forEach((node, i) => { foundBefore[i + 1] = foundBefore[i] + foundLabel[node[LABEL]]; });
	draw();
}

/* Time in matching frames of what is shown; what a match calls is not counted again. */
function showMatched() {
	let sum = 0;
	for (let i = zoomed; searching && i < end[zoomed];) {
		const found = foundLabel[nodes[i][LABEL]];
		sum += found ? nodes[i][WIDTH] : 0;
		i = found ? end[i] : i + 1;
	}
	matched.textContent = searching ? `matched ${percent(sum, nodes[zoomed][WIDTH])}` : '';
}

function resetAll() {
	search.value = '';
	zoomed = 0;
	focused = 0;
	hideTip();
	find();
}

function boxOf(event) {
	const frame = event.target.closest ? event.target.closest('.frame') : null;
	return frame && frames.contains(frame) ? frame.box : null;
}

function clicked(box) {
	if (box.node !== undefined)
		zoom(box.node);
	else if (box.hidden)
		zoom(0);
	else {
		/* The merged frames' caller is the box right below them. */
		const below = [...elements.values()].map(g => g.box)
			.find(other => other.level === box.level - 1 && other.x <= box.x + 0.01 &&
				other.x + other.width >= box.x);
		if (below)
			zoom(below.node);
	}
}

/* The nearest drawn frame in a direction. */
function neighbour(key) {
	const at = elements.get(focused).box, all = [...elements.values()].map(g => g.box);
	const step = key === 'ArrowUp' ? 1 : key === 'ArrowDown' ? -1 : 0;
	const level = all.filter(box => box.level === at.level + step);
	if (key === 'ArrowUp')
		return level.find(box => box.x + box.width > at.x && box.x < at.x + at.width);
	if (key === 'ArrowDown')
		return level.find(box => box.x <= at.x + 0.01 && box.x + box.width > at.x);
	return key === 'ArrowLeft' ? level.filter(box => box.x < at.x).pop() : level.find(box => box.x > at.x);
}

function moveFocus(box) {
	const g = elements.get(box.node);
	elements.get(focused).setAttribute('tabindex', -1);
	focused = box.node;
	g.setAttribute('tabindex', 0);
	g.focus();
	const rect = g.getBoundingClientRect();
	showTip(box, rect.left, rect.bottom - 12);
}

function pressed(event) {
	const inFrames = frames.contains(document.activeElement), typing = document.activeElement === search;
	const isFind = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'f';
	if ((isFind || event.key === '/') && !typing) { // pressed again, Ctrl-F is the browser's own
		search.focus();
		search.select();
	} else if (event.key === 'Escape') {
		resetAll();
	} else if (inFrames && (event.key === 'Enter' || event.key === ' ')) {
		zoom(focused);
	} else if (inFrames && event.key.startsWith('Arrow')) {
		const box = neighbour(event.key);
		if (box)
			moveFocus(box);
	} else {
		return;
	}
	event.preventDefault();
}

arrange();
svg.removeAttribute('viewBox');
svg.setAttribute('width', '100%');
svg.querySelectorAll('.head rect, .head line').forEach(wide => {
	wide.setAttribute(wide.localName === 'rect' ? 'width' : 'x2', '100%');
});
frames.addEventListener('click', event => { const box = boxOf(event); if (box) clicked(box); });
frames.addEventListener('mousemove', event => {
	const box = boxOf(event);
	if (box)
		showTip(box, event.clientX, event.clientY);
	else
		hideTip();
});
frames.addEventListener('mouseleave', hideTip);
reset.addEventListener('click', resetAll);
search.addEventListener('input', find);
document.addEventListener('keydown', pressed);
addEventListener('scroll', placeHead);
addEventListener('resize', draw);
draw();
if (isPage)
	scrollTo(0, svg.getBoundingClientRect().height); // the base is at the bottom
placeHead();
})();
